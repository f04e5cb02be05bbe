// Draws the charts of a report: one uPlot per element with `data-chart`, from the JSON in #report-data.
(() => {
  const data = document.getElementById("report-data").textContent;
  const { rows, charts, random, chosenUpdate } = JSON.parse(data);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const updates = rows.map((row) => row.update);
  const label = (key) => key.slice(key.indexOf("/") + 1).replaceAll("_", " ");
  const format = (value) => {
    if (value == null) return "-";
    return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
  };
  const round = (value) => value && Number(value.toPrecision(4));

  function dashed(plot, from, to, text) {
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = css("--quiet");
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(...from);
    ctx.lineTo(...to);
    ctx.stroke();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    ctx.fillText(text, from[0] + 4 * devicePixelRatio, from[1] - 3 * devicePixelRatio);
    ctx.restore();
  }

  function drawReferences(plot, keys) {
    const { left, top, width, height } = plot.bbox;
    if (keys.includes("rollout/success_rate")) {
      const y = plot.valToPos(random, "y", true);
      dashed(plot, [left, y], [left + width, y], "random play");
    }
    if (chosenUpdate >= updates[0]) {
      const x = plot.valToPos(chosenUpdate, "x", true);
      dashed(plot, [x, top], [x, top + height], "kept");
    }
  }

  function draw(element, { keys, isRate }) {
    const grid = { stroke: css("--line"), width: 1 };
    const axis = { stroke: css("--quiet"), grid, ticks: { show: false } };
    const options = {
      width: element.clientWidth,
      height: 200,
      scales: { x: { time: false }, y: isRate ? { range: [0, 1] } : {} },
      padding: [18, null, null, null],
      axes: [
        { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
        { ...axis, size: 56, values: (_, ticks) => ticks.map(format) },
      ],
      series: [
        { label: "update" },
        ...keys.map((key, index) => ({
          label: label(key),
          stroke: css(`--series-${index + 1}`),
          width: 2,
          value: (_, value) => format(round(value)),
        })),
      ],
      cursor: { y: false },
      hooks: { draw: [(plot) => drawReferences(plot, keys)] },
    };
    const series = keys.map((key) => rows.map((row) => row[key] ?? null));
    element.replaceChildren();
    return new uPlot(options, [updates, ...series], element);
  }

  const elements = [...document.querySelectorAll("[data-chart]")];
  const plots = new Map();
  const drawAll = () => {
    for (const element of elements) {
      plots.get(element)?.destroy();
      plots.set(element, draw(element, charts[Number(element.dataset.chart)]));
    }
  };
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) plots.get(target).setSize({ width: target.clientWidth, height: 200 });
  });
  for (const element of elements) resized.observe(element);
})();
