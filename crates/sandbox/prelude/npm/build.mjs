// Bundles the libraries of package.json into ../modules.js.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
// `process/` has a slash at its end, which an alias of esbuild cannot have.
const ownProcess = {
  name: 'own-process',
  setup: (build) => build.onResolve({ filter: /^process\/?(browser(\.js)?)?$/ }, () => ({ path: join(here, 'process.js') })),
};
await build({
  entryPoints: [join(here, 'entry.js')], outfile: join(here, '../modules.js'), bundle: true, minify: true, format: 'iife', platform: 'browser',
  target: 'es2022', legalComments: 'inline', alias: { stream: 'readable-stream' }, plugins: [ownProcess],
});
