// Light and dark without a page load; the plain form does the same with one. Also hides pictures that do not load.
for (const form of document.querySelectorAll("[data-theme-form]")) {
  form.addEventListener("submit", async (event) => {
    const theme = event.submitter?.value;
    if (!theme) return;
    event.preventDefault();
    document.documentElement.dataset.theme = theme;
    form.querySelector(theme === "dark" ? ".theme-to-light" : ".theme-to-dark")?.focus();
    const body = new URLSearchParams({ theme, next: "" });
    try {
      await fetch(form.action, { method: "POST", body, redirect: "manual", credentials: "same-origin" });
    } catch {
      // Offline: the page is right, only the next page load forgets it.
    }
  });
}

document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement && "thumb" in event.target.dataset) event.target.hidden = true;
}, true);
for (const image of document.querySelectorAll("img[data-thumb]")) {
  if (image.complete && image.naturalWidth === 0) image.hidden = true;
}
