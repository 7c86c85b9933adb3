// Google's own clients for Node, unmodified: they print as JSON what they got from the metadata server.
const { createRequire } = require("node:module");
const { join } = require("node:path");

const [packages, audience] = process.argv.slice(2);
const load = createRequire(join(packages, "package.json"));
const { GoogleAuth } = load("google-auth-library");
const metadata = load("gcp-metadata");

(async () => {
  const available = await metadata.isAvailable();
  const auth = new GoogleAuth();
  const client = await auth.getIdTokenClient(audience);
  const headers = await client.getRequestHeaders(`${audience}/`);
  const { client_email: email } = await auth.getCredentials();
  const project = await auth.getProjectId();
  const instance = await metadata.instance({ params: { recursive: "true" } });
  const authorization = headers.get("authorization");
  console.log(JSON.stringify({ available, authorization, email, project, instance }));
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
