import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { run } from '@nubo/runtime'

const top = join(import.meta.dirname, '..')

/** Runs node:test in a program of its own, as `nubo test` does; one inside this test would find itself nested. */
async function reportOf(files: Record<string, string>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'nubo-report-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const program = `
    import { run } from 'node:test'
    import { report } from ${JSON.stringify(join(top, 'tools/report.ts'))}
    const files = ${JSON.stringify(Object.keys(files).map((name) => join(folder, name)))}
    const suiteOf = (path) => (path.includes('system') ? 'system' : 'unit')
    for await (const text of report(run({ files, concurrency: 2 }), { top: ${JSON.stringify(folder)}, suiteOf, colour: false })) process.stdout.write(text)
  `
  writeFileSync(join(folder, 'main.mjs'), program)
  const { stdout } = await run({ argv: [process.execPath, join(folder, 'main.mjs')] })
  return stdout
}

describe('report', () => {
  it('shows suites, files, failures with their reason, and the true summary at the end', async () => {
    const text = await reportOf({
      'a.test.mjs': `import { it } from 'node:test'; it('works', () => {}); it('waits', { skip: true }, () => {})`,
      'b.test.mjs': `import { describe, it } from 'node:test'
        describe('group', () => { it('fails', () => { throw new Error('the reason') }) })`,
      'c.system.test.mjs': `import { it } from 'node:test'; it('is real', () => {})`,
    })
    assert.match(text, /unit\n✔ a\.test\.mjs {2}1 passed, 1 skipped/)
    assert.match(text, /✖ b\.test\.mjs: fails\n {4}Error: the reason/)
    assert.match(text, /✖ b\.test\.mjs {2}0 passed, 1 FAILED/)
    assert.match(text, /system\n✔ c\.system\.test\.mjs {2}1 passed/)
    assert.match(
      text,
      /ℹ tests 4\nℹ suites 1\nℹ pass 2\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0\nℹ duration_ms [\d.]+\n$/,
    )
  })

  it('does not pass over a file that cannot even be loaded', async () => {
    const text = await reportOf({ 'broken.test.mjs': `import './nowhere.mjs'` })
    assert.match(text, /✖ broken\.test\.mjs/)
    assert.match(text, /ℹ fail 1\n/)
  })
})
