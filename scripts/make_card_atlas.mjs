// Writes the card atlases of the gym-cards environments: 52 cards and a back, rasterised once from the SVG art at each size
// that a task shows. An atlas is one PNG, the cards one below the other, so that a card's pixels are consecutive.
//
//   npm pack @heruka_urgyen/react-playing-cards@0.5.0 && tar xzf heruka_urgyen-react-playing-cards-0.5.0.tgz
//   npm install --no-save @resvg/resvg-js@2.6.2
//   node scripts/make_card_atlas.mjs package/src/images assets/gym-cards
//
// The set is "2color-bf", whose large corner index stays readable at 67 pixels a card. What lies outside a card's round
// corners is black, as in the original, which pastes cards without their mask.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Resvg } from "@resvg/resvg-js";
import { PNG } from "pngjs";

const [images, output] = process.argv.slice(2);
// EZPoints, Points24, Blackjack.
const sizes = [
  [135, 189],
  [67, 93],
  [70, 98],
];
// Fewer shades make the file small; a step of 8 is not visible.
const SHADES = 8;

const files = [];
for (const suit of "CDHS")
  for (const rank of "A23456789TJQK") files.push(join("2color-bf", `${rank}${suit}.svg`));
files.push("back.svg");

const reduce = (value) => Math.min(255, Math.round(value / SHADES) * SHADES);

for (const [width, height] of sizes) {
  const atlas = new PNG({ width, height: height * files.length });
  files.forEach((file, index) => {
    // The root element's own size wins over `fitTo`, so it is replaced.
    const svg = readFileSync(join(images, file), "utf8")
      .replace(/ height="[^"]*in"/, ` height="${height}"`)
      .replace(/ width="[^"]*in"/, ` width="${width}"`);
    const image = new Resvg(svg, { background: "black" }).render();
    if (image.width !== width || image.height !== height)
      throw new Error(`${file}: ${image.width} x ${image.height}`);
    const { pixels } = image;
    for (let i = 0; i < pixels.length; i++) {
      atlas.data[4 * width * height * index + i] = i % 4 === 3 ? 255 : reduce(pixels[i]);
    }
  });
  const png = PNG.sync.write(atlas, { colorType: 2, deflateLevel: 9 });
  writeFileSync(join(output, `cards-${width}x${height}.png`), png);
}
