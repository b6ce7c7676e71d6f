// Says what n8n's own code opens, after what it does at its start. argv: n8n's folder. Standard input: cases by name, each
// with the key of the instance, rows of deployment_key, and data. Standard output: by name, which data it opens.
const [folder] = process.argv.slice(2);
const { Cipher, EncryptionKeyProxy } = require(`${folder}/../n8n-core`);
const { EncryptionBootstrapService } = require(`${folder}/dist/encryption/encryption-bootstrap.service.js`);
const { KeyManagerService } = require(`${folder}/dist/encryption/key-manager.service.js`);
const logger = { warn() {}, info() {}, debug() {}, scoped: () => logger };

async function answer({ key, rows, data }) {
  const found = (where) => rows.filter((row) => Object.entries(where).every(([name, value]) => row[name] === value));
  const table = {
    findOne: async ({ where }) => found(where)[0] ?? null,
    findDataEncryptionKeys: async () => found({ type: "data_encryption" }),
    rewrapLegacyDataEncryptionValue: async (id, _before, value) => Object.assign(found({ id })[0], { value }),
    seedLegacyCbcKey: async (value) => rows.push({ id: "made", type: "data_encryption", algorithm: "aes-256-cbc", value }),
    insertOrIgnore: async (row) => rows.push({ id: "active", ...row }),
  };
  const settings = { encryptionKey: key, instanceType: "main", canSeedDeploymentState: true };
  const proxy = new EncryptionKeyProxy();
  const cipher = new Cipher(settings, proxy);
  const keys = new KeyManagerService(table, cipher, settings, logger);
  await new EncryptionBootstrapService(keys, settings, proxy, logger).run();
  const opens = {};
  for (const [name, sealed] of Object.entries(data)) {
    try {
      JSON.parse(await cipher.decryptV2(sealed));
      opens[name] = true;
    } catch {
      opens[name] = false;
    }
  }
  return opens;
}

async function main() {
  const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const answers = {};
  for (const [name, one] of Object.entries(cases)) answers[name] = await answer(one);
  process.stdout.write(JSON.stringify(answers), () => process.exit(0));
}

main();
