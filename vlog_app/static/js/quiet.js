// Background fetches rest while nobody looks: what asks by itself is stopped in a hidden tab.
document.addEventListener("htmx:beforeRequest", (event) => {
  const trigger = event.detail.requestConfig?.triggeringEvent?.type;
  if (document.hidden && trigger !== "click" && trigger !== "submit") event.preventDefault();
});
