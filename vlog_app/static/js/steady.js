// Keeps a live list still under its reader: nothing is swapped while something in it is open, and rows that came, went
// or moved wait behind a button while the reader is in it.

// `id` of the part; `order(root)`: its rows as text; `isBusy()`: something is open or held; `isRead()`: somebody is in it.
export function keepSteady({ id, order, isBusy, isRead, onNews, afterSwap = () => {} }) {
  let force = false; // the reader's own change is shown at once
  let focused = ""; // id of what had the focus before a swap
  const part = () => document.getElementById(id);

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id !== id || event.detail.xhr.status !== 200) return;
    const fresh = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
    const hasMoved = order(fresh) !== order(part());
    const waits = !force && (isBusy() || (hasMoved && isRead()));
    if (waits) event.detail.shouldSwap = false;
    onNews(waits && hasMoved);
    focused = document.activeElement?.id ?? "";
    force = false;
  });
  document.addEventListener("htmx:afterSwap", () => {
    afterSwap();
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
  });
  return function refresh(now = false) {
    force = now;
    onNews(false);
    window.htmx?.trigger(part(), "changed");
  };
}
