// Seals what is read with n8n's own code: argv has n8n's folder and the key of the instance.
const [folder, key] = process.argv.slice(2);
const { CipherAes256CBC } = require(`${folder}/../n8n-core/dist/encryption/aes-256-cbc.js`);
const { CipherAes256GCM } = require(`${folder}/../n8n-core/dist/encryption/aes-256-gcm.js`);
const cbc = new CipherAes256CBC();
const gcm = new CipherAes256GCM();
const dataKey = "ab".repeat(32);
const wrapping = require("crypto").createHash("sha256").update(key).digest("hex");
const text = require("fs").readFileSync(0, "utf8");
console.log(JSON.stringify({
  plain: cbc.encrypt(text, key),
  gcm: `a:${gcm.encrypt(text, dataKey)}`,
  cbc: `b:${cbc.encrypt(text, dataKey)}`,
  legacy: cbc.encrypt(text, dataKey),
  wrapped: gcm.encrypt(dataKey, wrapping),
  wrappedBefore: cbc.encrypt(dataKey, key),
  wrappedOwn: gcm.encrypt(key, wrapping),
  wrappedOwnBefore: cbc.encrypt(key, key),
}));
