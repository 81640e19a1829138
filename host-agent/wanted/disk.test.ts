import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openSqliteDisk } from './disk.ts'

test('what is written soon is there after a restart, in order with the rest, all or nothing', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'nt-disk-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const open = () =>
    openSqliteDisk({ path: join(folder, 'state.db'), onDamaged: () => assert.fail() })
  const disk = open()
  disk.writeSoon([{ type: 'put', kind: 'ofport', key: 'a', value: '1' }])
  disk.write([{ type: 'put', kind: 'ofport', key: 'b', value: '2' }])
  disk.writeSoon([{ type: 'remove', kind: 'ofport', key: 'a' }])
  assert.throws(() =>
    disk.writeSoon([
      { type: 'remove', kind: 'ofport', key: 'b' },
      // @ts-expect-error The column does not take it.
      { type: 'put', kind: 'ofport', key: 'c', value: null },
    ]),
  )
  disk.close()
  const again = open()
  assert.deepEqual(again.load('ofport'), [{ kind: 'ofport', key: 'b', value: '2' }])
  again.close()
})
