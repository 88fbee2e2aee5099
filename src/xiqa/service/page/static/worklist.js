// The list follows what happens: a stream tells that something changed, the rows are then asked for again.
import { onKeys, tellTimes } from "./common.js";

const section = document.querySelector("#rows"), live = document.querySelector("#live");
const sound = document.querySelector("#sound"), said = document.querySelector("#said");
let waiting = 0, alarms = new Set(section.querySelector(".parts").dataset.alarm.split(" ").filter(Boolean));
sound.checked = localStorage.getItem("sound") === "on";
sound.addEventListener("change", () => localStorage.setItem("sound", sound.checked ? "on" : "off"));

function beep() {
  const audio = new AudioContext(), tone = audio.createOscillator();
  tone.frequency.value = 660;
  tone.connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + 0.25);
}

function alarm() {
  const now = new Set(section.querySelector(".parts").dataset.alarm.split(" ").filter(Boolean));
  const fresh = [...now].filter((uid) => !alarms.has(uid));
  alarms = now;
  document.title = `${now.size ? `(${now.size}) ` : ""}Worklist · xiqa`;
  if (!fresh.length) return;
  said.textContent = "An image should be taken again, and the patient may still be there.";
  if (sound.checked) beep();
}

async function refresh() {
  waiting = 0;
  const focused = document.activeElement?.closest("#rows a")?.getAttribute("href");
  const answer = await fetch(`/rows?${section.dataset.query}`, { headers: { Accept: "text/html" } });
  if (answer.status === 401 || answer.redirected) return location.reload();
  if (!answer.ok) return;
  const part = new DOMParser().parseFromString(await answer.text(), "text/html");
  section.replaceChildren(...part.body.childNodes);
  tellTimes(section);
  if (focused) section.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  alarm();
}

const stream = new EventSource("/stream");
stream.addEventListener("open", () => { live.textContent = "live"; live.classList.add("on"); });
stream.addEventListener("error", () => {
  live.textContent = "not connected";
  live.classList.remove("on");
  if (stream.readyState === EventSource.CLOSED) setTimeout(refresh, 2000);
});
// many pages hear of the same change: they do not all ask at the same moment, nor for each of many changes
stream.addEventListener("change", () => { waiting ||= setTimeout(refresh, 200 + 1800 * Math.random()); });
addEventListener("pagehide", () => stream.close());

function step(by) {
  const links = [...section.querySelectorAll(".open")];
  const at = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
}
onKeys({ j: () => step(1), k: () => step(-1), "/": () => document.querySelector(".filter select").focus() });
