// A map of 0 to 255 as lines that surround its high places, or as a tint; neither hides what lies below.
// The page holds the map's square root: a quarter, a half and four fifths of its maximum, with the lines' widths.
const LEVELS = [[128, 1.1], [181, 1.5], [228, 2.2]];
const LINE_COLOURS = ["#f98e09", "#fcb52f", "#fcf3a4"];
const TINTS = [[0, 33, 12, 74], [64, 87, 16, 110], [128, 188, 55, 84], [192, 249, 142, 9], [255, 252, 255, 164]];

// Where a level crosses the edges of each square of four neighbours (marching squares), as one path.
function contour(values, width, height, level) {
  const path = new Path2D();
  const at = (x, y) => values[y * width + x];
  const cross = (a, b) => (level - a) / (b - a);
  for (let y = 0; y + 1 < height; y++) {
    for (let x = 0; x + 1 < width; x++) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)], points = [];
      if (corners.every((value) => value < level) || corners.every((value) => value >= level)) continue;
      const [a, b, c, d] = corners;
      if (a < level !== b < level) points.push([x + cross(a, b), y]);
      if (b < level !== c < level) points.push([x + 1, y + cross(b, c)]);
      if (c < level !== d < level) points.push([x + 1 - cross(c, d), y + 1]);
      if (d < level !== a < level) points.push([x, y + 1 - cross(d, a)]);
      for (let n = 0; n + 1 < points.length; n += 2) {
        path.moveTo(points[n][0] + 0.5, points[n][1] + 0.5);
        path.lineTo(points[n + 1][0] + 0.5, points[n + 1][1] + 0.5);
      }
    }
  }
  return path;
}

// Colour rises with the value, opacity to at most a half: a bright object stays bright.
function tint(values, width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  values.forEach((value, index) => {
    const stop = Math.max(1, TINTS.findIndex(([place]) => place >= value));
    const [low, high] = [TINTS[stop - 1], TINTS[stop]], share = (value - low[0]) / (high[0] - low[0]);
    for (let channel = 0; channel < 3; channel++) image.data[4 * index + channel] = low[channel + 1] + share * (high[channel + 1] - low[channel + 1]);
    image.data[4 * index + 3] = 128 * clamp((value - 56) / 140, 0, 1);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

function heatOf(picture) {
  const { values, width, height } = pixelsOf(picture);
  return { width, height, tint: tint(values, width, height), lines: LEVELS.map(([level]) => contour(values, width, height, level)) };
}
