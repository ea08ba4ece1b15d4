import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const systemFonts =
  'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif';

/** Drops Cloudscape's bundled web fonts (about 165 KB) and puts the system stack in their place. */
function systemFontStack(): Plugin {
  return {
    name: 'system-font-stack',
    enforce: 'pre',
    transform(code, id) {
      if (!/@cloudscape-design\/.*\.css$/.test(id)) {
        return null;
      }
      return code
        .replace(/@font-face\s*\{[^}]*\}/g, '')
        .replaceAll('"Open Sans", "Helvetica Neue", Roboto, Arial, sans-serif', systemFonts);
    },
  };
}

const compressible = /\.(?:js|css|html|svg|json|txt)$/;

/** Writes a .br and a .gz beside each asset, so that the server never compresses at run time. */
function precompress(): Plugin {
  let dir = 'dist';
  return {
    name: 'precompress',
    apply: 'build',
    configResolved(config) {
      dir = config.build.outDir;
    },
    async closeBundle() {
      const entries = await readdir(dir, { recursive: true, withFileTypes: true });
      for (const entry of entries) {
        if (!entry.isFile() || !compressible.test(entry.name)) {
          continue;
        }
        const path = join(entry.parentPath, entry.name);
        const raw = await readFile(path);
        if (raw.length < 512) {
          continue;
        }
        await writeFile(`${path}.gz`, gzipSync(raw, { level: 9 }));
        await writeFile(
          `${path}.br`,
          brotliCompressSync(raw, {
            params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: raw.length },
          }),
        );
      }
    },
  };
}

/** The directory of the package a module belongs to, or null for our own modules. */
function packageDirectory(id: string): string | null {
  const match = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id);
  return match?.[1] ?? null;
}

/** Writes the licences of every package that is part of the bundle to third-party-notices.txt. */
function thirdPartyNotices(): Plugin {
  return {
    name: 'third-party-notices',
    apply: 'build',
    async generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((chunk) => (chunk.type === 'chunk' ? Object.keys(chunk.modules) : []));
      const directories = new Set([...modules, ...this.getModuleIds()].flatMap((id) => packageDirectory(id.replace(/^\0/, '')) ?? []));
      const notices: string[] = [];
      for (const directory of [...directories].sort()) {
        const { name, version, license } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Record<string, string>;
        const files = (await readdir(directory)).filter((file) => /^(licen[cs]e|notice|third-party-licen[cs]es)/i.test(file)).sort();
        const texts = await Promise.all(files.map((file) => readFile(join(directory, file), 'utf8')));
        notices.push([`${name} ${version} (${license})`, ...texts.map((text) => text.trim())].join('\n\n'));
      }
      const rule = `\n\n${'-'.repeat(78)}\n\n`;
      this.emitFile({
        type: 'asset',
        fileName: 'third-party-notices.txt',
        source: `The Fluoro console contains these packages.${rule}${notices.join(rule)}\n`,
      });
    },
  };
}

export default defineConfig({
  plugins: [systemFontStack(), react(), thirdPartyNotices(), precompress()],
  base: '/',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // Everything must be a file of our own origin: the content security policy allows no data: scripts or fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
  },
  server: {
    proxy: {
      '^/(TraceSummaries|Traces|TraceGraph|ServiceGraph|console/api)': process.env['FLUORO_URL'] ?? 'http://127.0.0.1:2000',
    },
  },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'], setupFiles: ['src/test/setup.ts'], testTimeout: 30_000 },
});
