// One or two canvases that show the same part of an image: wheel, drag, two fingers, level and window.
const look = { row: null, found: null, zoom: 1, x: 0, y: 0, fitted: true, level: 128, window: 256, inverted: false };
const plain = find("#plain"), marked = find("#marked");
const canvases = () => [plain, marked].filter((canvas) => !canvas.hidden);
const pixelRatio = () => devicePixelRatio || 1;

function resizeViews() {
  for (const canvas of canvases()) {
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * pixelRatio()));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * pixelRatio()));
  }
  if (look.fitted) fitView(); else drawViews();
}
function fitView() {
  if (!look.row?.size) return;
  const [width, height] = look.row.size;
  look.zoom = Math.min(marked.width / width, marked.height / height);
  look.x = (marked.width - width * look.zoom) / 2;
  look.y = (marked.height - height * look.zoom) / 2;
  look.fitted = true;
  drawViews();
}
function moveView(x, y) {
  Object.assign(look, { x: look.x + x, y: look.y + y, fitted: false });
  drawViews();
}
function zoomView(factor, x = marked.width / 2, y = marked.height / 2) {
  const least = Math.min(marked.width / look.row.size[0], marked.height / look.row.size[1]);
  const zoom = clamp(look.zoom * factor, least / 2, 40 * least);
  look.x = x - ((x - look.x) * zoom) / look.zoom;
  look.y = y - ((y - look.y) * zoom) / look.zoom;
  Object.assign(look, { zoom, fitted: false });
  drawViews();
}
// The picture through level and window; made again only when they change.
function windowed() {
  const { found } = look, table = new Uint8ClampedArray(256);
  look.shown = found?.image;
  if (!found || (look.level === 128 && look.window === 256 && !look.inverted)) return;
  for (let value = 0; value < 256; value++) {
    const byte = ((value - look.level) / look.window + 0.5) * 255;
    table[value] = look.inverted ? 255 - clamp(byte, 0, 255) : byte;
  }
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: found.image.naturalWidth, height: found.image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(found.image, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let index = 0; index < image.data.length; index++) if (index % 4 !== 3) image.data[index] = table[image.data[index]];
  context.putImageData(image, 0, 0);
  look.shown = canvas;
}
function setWindow(level, width) {
  look.level = Math.round(clamp(level, 0, 255));
  look.window = Math.round(clamp(width, 8, 512));
  find("#level").value = look.level;
  find("#window").value = look.window;
  windowed();
  drawViews();
}
function drawViews() {
  if (!look.found) return;
  for (const canvas of canvases()) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    paint(context, look.row, { ...look.found, shown: look.shown }, { ...look, ratio: pixelRatio() }, canvas === marked);
  }
  marked.dataset.view = [look.x, look.y, look.zoom].map((value) => value.toFixed(3)).join(" ");
}
function follow(canvas) {
  const held = new Map();
  const at = (event) => [event.offsetX * pixelRatio(), event.offsetY * pixelRatio()];
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", fitView);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, at(event));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => held.delete(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId), now = at(event);
    if (!before || !look.found) return;
    const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
    held.set(event.pointerId, now);
    const x = now[0] - before[0], y = now[1] - before[1];
    if (other) {
      const far = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
      moveView(x / 2, y / 2);
      zoomView(far(now) / far(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (event.buttons & 2) setWindow(look.level - y / 3, look.window + x);
    else moveView(x, y);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (look.found) zoomView(Math.exp(-event.deltaY / 400), ...at(event));
  }, { passive: false });
}
[plain, marked].forEach(follow);
new ResizeObserver(resizeViews).observe(find("#views"));
