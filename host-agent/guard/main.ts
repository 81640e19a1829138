/**
 * The process of the lease guard: `node host-agent/guard/main.ts FOLDER [BOOT_ID_FILE]`, FOLDER being `guard` in the
 * `stateDir` of the agent. Whatever starts the agent starts it too, and keeps both running. Stopping it ends no sets.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { readBootId } from '../boot-id.ts'
import { runGuard } from './lease-guard.ts'

const [folder, bootIdFile] = process.argv.slice(2)
if (folder === undefined || !folder.startsWith('/')) {
  process.stderr.write('usage: node host-agent/guard/main.ts FOLDER [BOOT_ID_FILE]\n')
  process.exit(2)
}
mkdirSync(folder, { recursive: true, mode: 0o700 })
// The kernel's boot id alone would not tell hosts apart that share a kernel.
const bootId = readBootId({ bootIdFile })
try {
  // When memory is short it must be the last to go.
  writeFileSync('/proc/self/oom_score_adj', '-1000')
} catch {
  // Not allowed in some containers.
}

const source = readFileSync(join(import.meta.dirname, 'lease-guard.ts'), 'utf8')
const program = join(folder, 'lease-guard.mjs')
writeFileSync(
  program,
  `${stripTypeScriptTypes(source)}\n${runGuard.name}({ folder: process.argv[2], bootId: process.argv[3] })\n`,
  { mode: 0o600 },
)
// What reads TypeScript takes 20 MB and is not needed any more: the same process goes on without it, and without a
// compiler, which such a small program never pays for.
process.execve?.(process.execPath, [
  process.execPath,
  '--jitless',
  '--max-semi-space-size=1',
  program,
  folder,
  bootId,
])
