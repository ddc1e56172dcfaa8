// The sign-in page: an eye to see what was typed, and a one-time link that needs no click.
for (const button of document.querySelectorAll("[data-reveal]")) {
  const field = document.getElementById(button.dataset.reveal);
  const use = button.querySelector("use");
  button.hidden = false;
  button.addEventListener("click", () => {
    const isShown = field.type === "text";
    field.type = isShown ? "password" : "text";
    button.setAttribute("aria-label", isShown ? "Show the secret" : "Hide the secret");
    button.title = button.getAttribute("aria-label");
    use.setAttribute("href", use.getAttribute("href").replace(/#.*/, isShown ? "#eye" : "#eye-off"));
  });
}
document.querySelector("[data-submit-now]")?.submit();
