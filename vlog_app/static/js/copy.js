// [data-copy="id"]: a button that copies what stands in the element of that id.
import { copy } from "./copying.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  const words = button.querySelector("[data-copy-words]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copy(document.getElementById(button.dataset.copy).textContent);
      words.textContent = "Copied";
    } catch {
      words.textContent = "Select it";
    }
    setTimeout(() => { words.textContent = "Copy"; }, 2000);
  });
}
