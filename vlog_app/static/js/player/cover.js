/** The poster of sound without picture, which may be drawn only after it plays already. */

const AGAIN_MS = 3000;
const TRIES = 20;

export function showCover(root, readiness) {
  const picture = root.querySelector("[data-cover]");
  if (!picture) return;
  let tries = 0;
  readiness.addEventListener("change", () => {
    const { poster } = readiness.facts;
    if (poster && picture.getAttribute("src") !== poster) picture.src = poster;
    picture.hidden = !picture.getAttribute("src");
    // Once all is encoded nobody asks any more; the poster may come last.
    if (picture.hidden && readiness.settled && tries++ < TRIES) setTimeout(() => readiness.poll(), AGAIN_MS);
  });
}
