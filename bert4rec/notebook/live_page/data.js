// The numbers of the page, in units of 16 bits, deflated, as base64 text.

const POWERS = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));

/** The value of a half-precision float (IEEE 754 binary16) from its 16 bits. */
export function fromHalf(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) + (exponent ? 1024 : 0); // without an exponent it is subnormal
  return (bits & 0x8000 ? -fraction : fraction) * POWERS[exponent];
}

/**
 * Read what live_model.py packed.
 * @param {string} text base64 of the deflated bytes: first all low bytes, then all high ones,
 *   because the high ones, alike among themselves, compress better apart.
 * @param {Array<[string, string, number]>} parts in order: name, kind, and how many units. An
 *   "integer" is one unit, a "half" is a float of one, a "single" a float of two.
 * @returns {Promise<Object<string, Float32Array|Uint16Array>>} the parts by name.
 */
export async function unpack(text, parts) {
  const letters = atob(text.trim());
  const packed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const total = bytes.length / 2;
  const found = {};
  let start = 0;
  for (const [name, kind, count] of parts) {
    const units = new Uint16Array(count);
    for (let i = 0; i < count; i++) units[i] = bytes[start + i] | (bytes[total + start + i] << 8);
    found[name] = kind === "single" ? new Float32Array(units.buffer) : units;
    if (kind === "half") found[name] = new Float32Array(units).map(fromHalf);
    start += count;
  }
  if (start !== total) throw new Error(`the page holds ${total} units, its table names ${start}.`);
  return found;
}
