import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { z } from 'zod'

const top = new URL('../..', import.meta.url).pathname
const archive = new URL('./fixtures/previous-release.json.br', import.meta.url).pathname
const kept = z.object({ commit: z.string(), files: z.record(z.string(), z.string()) })
const manifest = z.object({
  name: z.string(),
  dependencies: z.record(z.string(), z.string()).default({}),
})

/**
 * Unpacks the previous release (`tools/keep-release.ts` has kept it) such that its programs run: its own packages under their
 * names, and what this checkout has installed for everything else. So the two must depend on the same versions; an
 * error says which do not, and then a newer release has to be kept.
 */
export function unpackPreviousRelease(folder: string): void {
  const { files } = kept.parse(JSON.parse(brotliDecompressSync(readFileSync(archive)).toString()))
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, '@nubo'), { recursive: true })
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
    if (!path.endsWith('/package.json')) continue
    const { name, dependencies } = manifest.parse(JSON.parse(text))
    symlinkSync(join(folder, dirname(path)), join(modules, name))
    for (const [dependency, version] of Object.entries(dependencies))
      requireInstalled(dependency, version)
  }
  for (const name of readdirSync(join(top, 'node_modules')))
    if (name !== '@nubo') symlinkSync(join(top, 'node_modules', name), join(modules, name))
}

function requireInstalled(dependency: string, version: string): void {
  if (dependency.startsWith('@nubo/')) return
  const text = readFileSync(join(top, 'node_modules', dependency, 'package.json'), 'utf8')
  const installed = z.object({ version: z.string() }).parse(JSON.parse(text)).version
  if (installed !== version)
    throw new Error(
      `the previous release needs ${dependency} ${version}, and ${installed} is installed: ` +
        'keep a release that has the same dependencies (tools/keep-release.ts)',
    )
}
