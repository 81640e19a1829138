import { join } from 'node:path'
import { run } from '@nubo/runtime'

const DUMP_TIMEOUT_MS = 30_000
const defaultBinaries = '/usr/lib/postgresql/15/bin'

const head = `-- The whole schema, as all migrations make it. Written by \`node tools/emit-schema.ts\`; never edited, never run.
-- A change is a new migration; this page shows what it changed.
`

/**
 * The schema of a database as text: tables, constraints and indexes in order of their names. The same schema gives the same
 * text on every machine. `url`: for libpq.
 */
export async function schemaText(url: string, binaries: string = defaultBinaries): Promise<string> {
  const { stdout } = await run({
    argv: [
      join(binaries, 'pg_dump'),
      '--schema-only',
      '--no-owner',
      '--no-privileges',
      '--exclude-table=migration',
      `--dbname=${url}`,
    ],
    timeoutMs: DUMP_TIMEOUT_MS,
  })
  return head + normalised(stdout)
}

/** Without what says which program dumped which server, and how to load it. */
function normalised(dump: string): string {
  const lines = dump
    .replaceAll('public.', '')
    .split('\n')
    .filter((line) => !/^(--|SET |SELECT pg_catalog|\\(un)?restrict )/.test(line))
  const text = lines.join('\n').replaceAll(/\n{2,}/g, '\n\n')
  return `\n${text.trim()}\n`
}
