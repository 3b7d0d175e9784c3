// Tells the live page in its frame which theme the book has, and gives the frame the height that the
// page tells: they share no document.
const frame = document.querySelector("iframe.live");
if (frame) {
  const tell = () => {
    const { theme } = document.documentElement.dataset;
    frame.contentWindow.postMessage({ theme }, "*");
  };
  frame.addEventListener("load", tell);
  new MutationObserver(tell).observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["data-theme"],
  });
  tell();
  addEventListener("message", ({ data, source }) => {
    if (source !== frame.contentWindow || !(data?.height > 0)) return;
    frame.style.height = `${Math.ceil(data.height) + 2}px`;
    frame.style.maxHeight = "none";
  });
}
