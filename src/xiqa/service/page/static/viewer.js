// One image on a 2D canvas: display values of 16 bits through a window into 8, then zoomed and moved.
const FULL = 65536;

// Byte of every display value. The whole range gives the renderer's own bytes: round(value * 255 / 65535).
export function tableOf(level, width, inverted) {
  const table = new Uint8ClampedArray(FULL);
  for (let value = 0; value < FULL; value++) {
    const share = width === FULL && level === FULL / 2 ? value / (FULL - 1) : (value - level) / width + 0.5;
    const byte = Math.floor(Math.min(1, Math.max(0, share)) * 255 + 0.5);
    table[value] = inverted ? 255 - byte : byte;
  }
  return table;
}

export class Viewer {
  constructor(figure) {
    this.figure = figure;
    this.canvas = figure.querySelector("canvas");
    this.output = figure.querySelector("output");
    this.boxes = JSON.parse(figure.dataset.boxes);
    Object.assign(this, { level: FULL / 2, width: FULL, inverted: false, overlay: false, opacity: 0.5, showBoxes: true });
    this.follow();
    new ResizeObserver(() => this.resize()).observe(this.canvas);
  }

  async load() {
    const address = `/image/${this.figure.dataset.uid}`;
    const answer = await fetch(`${address}/pixels`);
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      this.output.textContent = page.querySelector(".fault")?.textContent ?? "cannot be shown";
      return;
    }
    const number = (name) => Number(answer.headers.get(name));
    [this.rows, this.columns, this.channels] = ["X-Rows", "X-Columns", "X-Channels"].map(number);
    this.values = new Uint16Array(await answer.arrayBuffer());
    this.drawn = new OffscreenCanvas(this.columns, this.rows);
    if ("map" in this.figure.dataset) this.heat = fetch(`${address}/heat`).then(async (a) => (a.ok ? createImageBitmap(await a.blob()) : null));
    this.heat?.then((picture) => { this.picture = picture; this.draw(); });
    this.render();
    this.resize();
    this.fit();
    this.figure.dataset.ready = "";
  }

  // From values to bytes; done again only when the window changes.
  render() {
    if (!this.values) return;
    const context = this.drawn.getContext("2d"), image = context.createImageData(this.columns, this.rows);
    const table = tableOf(this.level, this.width, this.inverted), { values, channels } = this, data = image.data;
    for (let pixel = 0, out = 0; out < data.length; pixel += channels, out += 4) {
      data[out] = table[values[pixel]];
      data[out + 1] = channels === 3 ? table[values[pixel + 1]] : data[out];
      data[out + 2] = channels === 3 ? table[values[pixel + 2]] : data[out];
      data[out + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    this.draw();
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.fitted) this.fit(); else this.draw();
  }

  fit() {
    if (!this.values) return;
    this.zoom = Math.min(this.canvas.width / this.columns, this.canvas.height / this.rows);
    this.centre();
    this.fitted = true;
    this.draw();
  }

  // One pixel of the image on one pixel of the screen.
  oneToOne() { this.zoom = 1; this.fitted = false; this.centre(); this.draw(); }

  centre() {
    this.x = Math.round((this.canvas.width - this.columns * this.zoom) / 2);
    this.y = Math.round((this.canvas.height - this.rows * this.zoom) / 2);
  }

  move(x, y) { this.x += x; this.y += y; this.fitted = false; this.draw(); }

  zoomBy(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    if (!this.values) return;
    const zoom = Math.min(32, Math.max(0.02, this.zoom * factor));
    this.x = Math.round(x - ((x - this.x) * zoom) / this.zoom);
    this.y = Math.round(y - ((y - this.y) * zoom) / this.zoom);
    this.zoom = zoom;
    this.fitted = false;
    this.draw();
  }

  window(level, width) { this.level = level; this.width = width; this.render(); }

  invert() { this.inverted = !this.inverted; this.render(); }

  draw() {
    if (!this.values) return;
    const context = this.canvas.getContext("2d"), { x, y, zoom } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = zoom < 1;
    context.imageSmoothingQuality = "high";
    const place = [x, y, this.columns * zoom, this.rows * zoom];
    context.drawImage(this.drawn, ...place);
    if (this.overlay) this.drawOverlay(context, place);
    this.output.textContent = `${this.columns} × ${this.rows}, ${Math.round(zoom * 100)} %`;
  }

  drawOverlay(context, place) {
    if (this.picture) {
      context.globalAlpha = this.opacity;
      context.imageSmoothingEnabled = true;
      context.drawImage(this.picture, ...place);
      context.globalAlpha = 1;
    }
    if (this.showBoxes) this.boxes.forEach((item, index) => this.drawBox(context, item.box, index + 1));
  }

  // A box reaches half a pixel beyond the centres of its first and last pixel.
  drawBox(context, [x0, y0, x1, y1], number) {
    const { zoom } = this, ratio = devicePixelRatio || 1, least = 14 * ratio;
    let [left, top, wide, high] = [this.x + x0 * zoom, this.y + y0 * zoom, (x1 - x0 + 1) * zoom, (y1 - y0 + 1) * zoom];
    if (wide < least) { left -= (least - wide) / 2; wide = least; }
    if (high < least) { top -= (least - high) / 2; high = least; }
    for (const [colour, line] of [["#0a1428", 4], ["#78f0ff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = line * ratio;
      context.strokeRect(left, top, wide, high);
    }
    context.font = `600 ${14 * ratio}px sans-serif`;
    const wordy = context.measureText(number).width + 8 * ratio, above = Math.max(0, top - 19 * ratio);
    context.fillStyle = "#0a1428";
    context.fillRect(left, above, wordy, 19 * ratio);
    context.fillStyle = "#78f0ff";
    context.fillText(number, left + 4 * ratio, above + 14.5 * ratio);
  }

  // The mouse: drag moves, drag with the right button windows, the wheel zooms; two fingers zoom.
  follow() {
    const held = new Map(), ratio = () => devicePixelRatio || 1;
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, event);
    });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, (event) => held.delete(event.pointerId));
    this.canvas.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (!before || !this.values) return;
      const x = event.clientX - before.clientX, y = event.clientY - before.clientY;
      const other = [...held.values()].find((item) => item.pointerId !== event.pointerId);
      held.set(event.pointerId, event);
      if (other) this.pinch(before, event, other);
      else if (event.buttons & 2) this.change?.(this.level + y * 64, Math.max(256, this.width + x * 128));
      else this.move(x * ratio(), y * ratio());
    });
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 400), event.offsetX * ratio(), event.offsetY * ratio());
    }, { passive: false });
  }

  pinch(before, event, other) {
    const far = (item) => Math.hypot(item.clientX - other.clientX, item.clientY - other.clientY);
    const place = this.canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    const middle = [(event.clientX + other.clientX) / 2 - place.left, (event.clientY + other.clientY) / 2 - place.top];
    this.zoomBy(far(event) / Math.max(1, far(before)), middle[0] * ratio, middle[1] * ratio);
  }
}
