// The frames above the grid: a dozen pictures of the storyboard, each where its moment is.
const FRAMES = 12;

function seconds(clock) {
  return clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
}

function cues(text, base) {
  return [...text.matchAll(/([\d:.]+) --> ([\d:.]+)[^\n]*\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)/g)].map(
    ([, start, , file, ...box]) => ({ at: seconds(start), url: new URL(file, base).href, box: box.map(Number) }));
}

async function load(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

async function paint() {
  const canvas = document.getElementById("grid-frames");
  const source = canvas?.dataset.storyboard;
  if (!canvas || canvas.painted === source) return;
  canvas.painted = source;
  const base = new URL(source, location.href);
  const answer = await fetch(base);
  if (!answer.ok) return;
  const all = cues(await answer.text(), base);
  const { segmentS, durationS } = document.getElementById("grid-area").dataset;
  const span = Math.ceil(durationS / segmentS) * segmentS;
  const width = canvas.width / FRAMES;
  const pen = canvas.getContext("2d");
  for (let n = 0; n < FRAMES; n += 1) {
    const moment = (span * (n + 0.5)) / FRAMES;
    const cue = all.findLast((one) => one.at <= moment);
    if (!cue || moment > Number(durationS) + Number(segmentS)) continue;
    const [x, y, w, h] = cue.box;
    const tall = Math.min(h, (w * canvas.height) / width);
    pen.drawImage(await load(cue.url), x, y + (h - tall) / 2, w, tall, n * width, 0, width - 2, canvas.height);
  }
}

const start = () => paint().catch(() => {}); // pictures are a help; the ruler says where we are without them
document.addEventListener("htmx:afterSwap", start);
start();
