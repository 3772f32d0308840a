// A service worker has to be served from the site's own root.
import { cpSync } from "node:fs";
import { fileURLToPath } from "node:url";

cpSync(fileURLToPath(import.meta.resolve("quire/service-worker")), "public/service-worker.js");
