import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// The build must be the same on every machine: names without hashes (the server
// makes browsers ask each time), one file of each kind, nothing inlined, so that
// the content security policy can stay at 'self'.
export default defineConfig({
  base: "./",
  plugins: [svelte({ compilerOptions: { css: "external" } })],
  build: {
    outDir: process.env.UI_OUT || "dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: false,
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        entryFileNames: "page.js",
        chunkFileNames: "[name].js",
        assetFileNames: (a) => (a.names?.[0]?.endsWith(".css") ? "page.css" : "[name][extname]"),
        inlineDynamicImports: true,
      },
    },
  },
  // npm run dev: the page from here, everything else from a lab or from
  // go run ./internal/web/ui/dev.
  server: { proxy: { "/api": process.env.ZDL_PAGE || "http://127.0.0.1:8420", "/docs": process.env.ZDL_PAGE || "http://127.0.0.1:8420" } },
});
