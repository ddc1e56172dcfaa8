// A frame of the chosen file, drawn in the browser; a type it cannot play keeps the icon.
const AT_S = 2;
const GIVE_UP_MS = 8000;

export function drawFrame(file, box) {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  const end = () => {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(url);
  };
  const giveUp = setTimeout(end, GIVE_UP_MS);
  video.muted = true;
  video.preload = "auto";
  video.addEventListener("loadedmetadata", () => {
    video.currentTime = Math.min(AT_S, video.duration / 2 || 0);
  });
  video.addEventListener("seeked", () => {
    clearTimeout(giveUp);
    if (!video.videoWidth) return end(); // sound alone
    const canvas = document.createElement("canvas");
    canvas.width = 256;
    canvas.height = 144;
    const scale = Math.max(256 / video.videoWidth, 144 / video.videoHeight);
    const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
    canvas.getContext("2d").drawImage(video, (256 - width) / 2, (144 - height) / 2, width, height);
    box.append(canvas);
    end();
  }, { once: true });
  video.addEventListener("error", () => clearTimeout(giveUp), { once: true });
  video.src = url;
}
