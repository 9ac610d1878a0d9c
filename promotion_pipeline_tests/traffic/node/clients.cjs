// Unmodified clients of npm, asked from the tests: `node clients.cjs WHICH OPTIONS` reads one user a line, and prints
// what that user gets of the flag, one a line in the same order. NODE_PATH says where the packages are.
"use strict";

const AT_ONCE = 16;

async function ofrep({ url, token, flag }) {
  const { OpenFeature } = require("@openfeature/server-sdk");
  const { OFREPProvider } = require("@openfeature/ofrep-provider");
  const headers = [["Authorization", `Bearer ${token}`]];
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers }));
  const client = OpenFeature.getClient();
  return (user) => client.getStringValue(flag, "default", { targetingKey: user });
}

async function flagd({ file, flag }) {
  const { OpenFeature } = require("@openfeature/server-sdk");
  const { FlagdProvider } = require("@openfeature/flagd-provider");
  const offline = { resolverType: "in-process", offlineFlagSourcePath: file };
  await OpenFeature.setProviderAndWait(new FlagdProvider(offline));
  const client = OpenFeature.getClient();
  return (user) => client.getStringValue(flag, "default", { targetingKey: user });
}

// The client of pages: it asks for every flag of one user, and again while it polls. After the variant it prints the
// statuses of its first answers.
async function web({ url, token, flag, answers }) {
  const { OpenFeature } = require("@openfeature/web-sdk");
  const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");
  const statuses = [];
  const counting = async (...asked) => {
    const answer = await fetch(...asked);
    statuses.push(answer.status);
    return answer;
  };
  const headers = [["Authorization", `Bearer ${token}`]];
  return async (user) => {
    await OpenFeature.setContext({ targetingKey: user });
    const options = { baseUrl: url, headers, fetchImplementation: counting, cacheMode: "disabled", pollInterval: 50 };
    await OpenFeature.setProviderAndWait(new OFREPWebProvider(options));
    while (statuses.length < answers) await new Promise((resolve) => setTimeout(resolve, 20));
    const variant = OpenFeature.getClient().getStringValue(flag, "default");
    await OpenFeature.close();
    return `${variant} ${statuses.slice(0, answers).join(" ")}`;
  };
}

async function unleash({ url, token, flag, properties }) {
  const { initialize } = require("unleash-client");
  const client = initialize({
    url: `${url}/api/`,
    appName: "tests",
    customHeaders: { Authorization: token },
    disableMetrics: true,
    refreshInterval: 60_000,
    backupPath: require("node:fs").mkdtempSync(`${require("node:os").tmpdir()}/unleash-`),
  });
  await new Promise((resolve, reject) => client.once("synchronized", resolve).once("error", reject));
  return async (user) => {
    const variant = client.getVariant(flag, { userId: user, properties });
    return variant.feature_enabled ? variant.name : "off";
  };
}

async function main() {
  const [which, options] = process.argv.slice(2);
  const ask = await { ofrep, flagd, web, unleash }[which](JSON.parse(options));
  const users = require("node:fs").readFileSync(0, "utf8").split("\n");
  const said = new Array(users.length);
  let next = 0;
  const work = async () => {
    while (next < users.length) {
      const place = next++;
      said[place] = await ask(users[place]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  process.stdout.write(said.join("\n"), () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
