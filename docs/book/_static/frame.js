// Tells the live page in its frame which theme the book has: they share no document.
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
}
