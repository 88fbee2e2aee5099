// Pictures of a row, read from the page itself, and how they are painted onto any canvas.
async function loaded(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  return picture;
}
// The grey values of a picture.
function pixelsOf(picture) {
  const canvas = document.createElement("canvas");
  const [width, height] = [picture.naturalWidth, picture.naturalHeight];
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height), values = new Uint8Array(width * height);
  for (let index = 0; index < values.length; index++) values[index] = data[4 * index];
  return { values, width, height };
}
const kept = new Map();
// Image and map of a row; the latest sixty stay decoded.
function picturesOf(row) {
  if (!row.image) return Promise.resolve(null);
  if (!kept.has(row.id)) {
    kept.set(row.id, Promise.all([loaded(row.image), row.heat ? loaded(row.heat).then(heatOf) : null])
      .then(([image, heat]) => ({ image, heat })));
    if (kept.size > 60) kept.delete(kept.keys().next().value);
  }
  return kept.get(row.id);
}
const undecided = (row) => row.verdict !== "reacquire";

// view: x and y of the image's corner on the canvas and zoom, canvas pixels a pixel of the original.
function paint(context, row, { image, heat, shown = image }, view, marks = true) {
  const [width, height] = row.size, place = [view.x, view.y, width * view.zoom, height * view.zoom];
  const ratio = view.ratio ?? 1;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(shown, ...place);
  if (!marks) return;
  if (heat && settings.evidence === "colour") context.drawImage(heat.tint, ...place);
  if (heat && settings.evidence === "lines") paintLines(context, heat, place, ratio, { reacquire: 1, review: 0.7 }[row.verdict] ?? 0.45);
  if (settings.boxes) (row.places ?? []).forEach((item, index) => paintBox(context, item, index + 1, view, ratio, undecided(row)));
}
function paintLines(context, heat, [x, y, width, height], ratio, opacity) {
  const across = width / heat.width, down = height / heat.height;
  context.globalAlpha = opacity;
  context.lineCap = "butt";
  heat.lines.forEach((path, index) => {
    const placed = new Path2D();
    placed.addPath(path, new DOMMatrix([across, 0, 0, down, x, y]));
    for (const [colour, more] of [["#0a0f14a0", 1.6], [LINE_COLOURS[index], 0]]) {
      context.strokeStyle = colour;
      context.lineWidth = (LEVELS[index][1] + more) * ratio;
      context.stroke(placed);
    }
  });
  context.globalAlpha = 1;
}
// A solid light frame where the verdict is poor, a dashed grey one where nothing is decided.
function paintBox(context, { box, peak, hot }, number, view, ratio, open) {
  const [left, top] = [view.x + (box[0] + 0.5) * view.zoom, view.y + (box[1] + 0.5) * view.zoom];
  const [wide, high] = [box[2] * view.zoom, box[3] * view.zoom], colour = open ? "#d5dde4" : "#78f0ff";
  const [x, y] = [view.x + (peak[0] + 0.5) * view.zoom, view.y + (peak[1] + 0.5) * view.zoom], arm = 4 * ratio;
  const cross = new Path2D(`M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`);
  for (const [ink, line] of [["#07101cd9", 3.6], [colour, hot ? 3 : 1.6]]) {
    context.strokeStyle = ink;
    context.lineWidth = line * ratio;
    context.setLineDash(open && ink === colour ? [5 * ratio, 4 * ratio] : []);
    context.strokeRect(left, top, wide, high);
    context.setLineDash([]);
    context.stroke(cross);
  }
  const size = 12 * ratio;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const broad = context.measureText(number).width + 0.6 * size, above = Math.max(0, top - 1.35 * size);
  context.fillStyle = "#07101c";
  context.fillRect(left - 0.8 * ratio, above, broad, 1.35 * size);
  context.fillStyle = colour;
  context.fillText(number, left + 0.3 * size - 0.8 * ratio, above + 1.05 * size);
}
