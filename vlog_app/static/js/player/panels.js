/** What stands in each menu. */
import { clock, quality as called, rate } from "./format.js";

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

export function makePanels({ engine, readiness, video, captions, setRate, pip }) {
  const quality = () => ({
    title: "Quality",
    parent: "settings",
    items: [autoItem(engine), ...engine.rungs.map((rung) => rungItem(rung, engine, readiness))],
  });
  const speed = () => ({
    title: "Speed",
    parent: "settings",
    items: RATES.map((value) => ({
      label: value === 1 ? "1×, as recorded" : rate(value), checked: video.playbackRate === value, act: () => setRate(value),
    })),
  });
  const sound = () => ({
    title: "Sound",
    parent: "settings",
    items: engine.sounds.map(({ id, label, chosen }) => ({ label, checked: chosen, act: () => engine.setSound(id) })),
  });
  const settings = () => ({
    title: "Settings",
    items: [
      ...(engine.hasChoice ? [{ label: "Quality", value: engine.manual ? called(engine.choice) : `Auto ${called(engine.playing)}`, opens: "quality" }] : []),
      { label: "Speed", value: rate(video.playbackRate), opens: "speed" },
      ...(engine.sounds.length > 1 ? [{ label: "Sound", value: engine.sound, opens: "sound" }] : []),
      ...(pip.possible ? [{ label: "Picture in picture", act: pip.toggle }] : []),
    ],
  });
  return { quality, speed, sound, settings, captions: () => captionsPanel(captions) };
}

function autoItem(engine) {
  const now = engine.playing;
  return {
    label: "Auto", note: now && !engine.manual ? `${called(now)} right now` : undefined,
    checked: !engine.manual, act: () => engine.setChoice("auto"),
  };
}

function rungItem({ name, label }, engine, readiness) {
  const edge = readiness.rungEdge(name);
  const note = edge === null ? undefined : edge ? `ready to ${clock(edge)}, still encoding` : "still encoding";
  return { label, note, tone: "warm", checked: engine.choice === name, act: () => engine.setChoice(name) };
}

function captionsPanel(captions) {
  const off = { label: "Off", checked: !captions.shown, act: () => captions.show("") };
  const each = captions.tracks.map((track) => ({
    label: track.label, checked: captions.shown === track.language, act: () => captions.show(track.language),
  }));
  return { title: "Captions", items: [off, ...each] };
}
