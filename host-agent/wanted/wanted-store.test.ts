import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { isPlatformError, PlatformError } from '@nubo/base'
import { wantedKey } from '@nubo/contracts/host'
import { silentLog } from '@nubo/runtime/process'
import { testId, testNetwork, testPort, testSet, testUpdate } from '../testing/wanted.ts'
import { MemoryDisk, openSqliteDisk, type Disk, type DiskChange } from './disk.ts'
import { SEEN_SETS_MAX, WANTED_ITEMS_MAX, WantedStore } from './wanted-store.ts'

const BOOT = 'boot-1'
const folder = mkdtempSync(path.join(tmpdir(), 'nt-wanted-'))
after(() => rmSync(folder, { recursive: true, force: true }))

function open(disk: Disk): WantedStore {
  return new WantedStore({ disk, log: silentLog })
}

test('an update is on disk when it has been applied, and a new store reads it', () => {
  const disk = new MemoryDisk()
  const store = open(disk)
  const items = [testNetwork(), testPort(2, { on: 'remote', vtep: '172.16.0.2' }), testSet()]
  const change = store.apply(testUpdate(7, items, { full: true }), BOOT)
  assert.deepEqual([...(change?.keys ?? [])].toSorted(), items.map(wantedKey).toSorted())
  const again = open(disk)
  assert.equal(again.revision, 7)
  assert.equal(again.confirmedBootId, BOOT)
  assert.deepEqual([...again.sets.values()], [testSet()])
  assert.deepEqual([...again.networks.values()], [testNetwork()])
  assert.equal(again.ports.size, 1)
})

test('a snapshot in parts takes effect as a whole, with its last part', () => {
  const disk = new MemoryDisk()
  const store = open(disk)
  store.apply(testUpdate(1, [testSet({ id: testId('set', 9) })], { full: true }), BOOT)
  const first = testUpdate(5, [testSet({ id: testId('set', 1) })], { full: true, last: false })
  assert.equal(store.apply(first, BOOT), undefined)
  assert.deepEqual([...store.sets.keys()], [testId('set', 9)])
  assert.equal(open(disk).revision, 1)
  const change = store.apply(
    testUpdate(5, [testSet({ id: testId('set', 2) })], { full: true }),
    BOOT,
  )
  assert.deepEqual([...store.sets.keys()].toSorted(), [testId('set', 1), testId('set', 2)])
  assert.equal(change?.keys.size, 3)
  assert.deepEqual([...open(disk).sets.keys()].toSorted(), [testId('set', 1), testId('set', 2)])
})

test('an update within the parts of another one is refused: its rest alone would empty the host', () => {
  const disk = new MemoryDisk()
  const store = open(disk)
  store.apply(testUpdate(1, [testSet(), testNetwork()], { full: true }), BOOT)
  const isRefused = (error: unknown): boolean => isPlatformError(error, 'PROTOCOL_VIOLATION')
  store.apply(testUpdate(2, [testSet()], { full: true, last: false }), BOOT)
  assert.throws(() => store.apply(testUpdate(3, [testSet()]), BOOT), isRefused)
  store.apply(testUpdate(4, [testSet()], { full: true, last: false }), BOOT)
  const other = testUpdate(5, [testNetwork()], { full: true })
  assert.throws(() => store.apply(other, BOOT), isRefused)
  assert.equal(store.revision, 1)
  assert.equal(open(disk).sets.size + open(disk).networks.size, 2)
})

test('what is not vital is not worth a session or an update when the disk is full', () => {
  class FullDisk extends MemoryDisk {
    override write(changes: readonly DiskChange[]): void {
      const isVital = changes.some(({ kind }) => kind === 'item')
      if (!isVital) throw new PlatformError('HOST_DISK_FULL', {})
      super.write(changes)
    }
  }
  const store = open(new FullDisk())
  store.keepServers(['172.31.0.1:7443'])
  assert.deepEqual(store.servers, ['172.31.0.1:7443'])
  store.apply(testUpdate(0, [testNetwork()], { full: true }), BOOT)
  for (let from = 0; from <= SEEN_SETS_MAX; from += 1_000) {
    const sets = Array.from({ length: 1_000 }, (_, at) => testSet({ id: testId('set', from + at) }))
    store.apply(testUpdate(from + 1, sets), BOOT)
    const change = store.apply(testUpdate(from + 2, [], { removes: sets.map(wantedKey) }), BOOT)
    assert.equal(change?.keys.size, 1_000)
  }
})

test('parts of an update whose session ended are forgotten', () => {
  const store = open(new MemoryDisk())
  store.apply(testUpdate(5, [testSet()], { full: true, last: false }), BOOT)
  store.discardPartial()
  store.apply(testUpdate(6, [], { full: true }), BOOT)
  assert.equal(store.sets.size, 0)
})

test('a delta adds, replaces and removes; what is equal is no change', () => {
  const store = open(new MemoryDisk())
  store.apply(testUpdate(1, [testSet(), testNetwork()], { full: true }), BOOT)
  const same = store.apply(testUpdate(2, [testSet()]), BOOT)
  assert.equal(same?.keys.size, 0)
  const changed = store.apply(
    testUpdate(3, [testSet({ generation: 2, run: 'stopped' })], {
      removes: [wantedKey(testNetwork()), 'port/unknown'],
    }),
    BOOT,
  )
  assert.deepEqual([...(changed?.keys ?? [])], [wantedKey(testSet()), wantedKey(testNetwork())])
  assert.equal(store.set(testSet().id)?.run, 'stopped')
  assert.equal(store.networks.size, 0)
})

test('a set at a lower epoch than the host has seen is refused, also after it was removed and after a restart', () => {
  const disk = new MemoryDisk()
  const store = open(disk)
  store.apply(testUpdate(1, [testSet({ epoch: 3 })], { full: true }), BOOT)
  store.apply(testUpdate(2, [testSet({ epoch: 2 })]), BOOT)
  assert.equal(store.set(testSet().id)?.epoch, 3)
  // A snapshot of an old server neither lowers nor removes it.
  store.apply(testUpdate(3, [testSet({ epoch: 1 })], { full: true }), BOOT)
  assert.equal(store.set(testSet().id)?.epoch, 3)
  store.apply(testUpdate(4, [], { removes: [wantedKey(testSet())] }), BOOT)
  const again = open(disk)
  again.apply(testUpdate(5, [testSet({ epoch: 2 })]), BOOT)
  assert.equal(again.sets.size, 0)
  again.apply(testUpdate(6, [testSet({ epoch: 4 })]), BOOT)
  assert.equal(again.set(testSet().id)?.epoch, 4)
})

test('epochs of sets that are gone are kept for a bounded number of sets', () => {
  const disk = new MemoryDisk()
  const store = open(disk)
  store.apply(testUpdate(0, [], { full: true }), BOOT)
  for (let from = 0; from < SEEN_SETS_MAX + 2_000; from += 1_000) {
    const sets = Array.from({ length: 1_000 }, (_, at) => testSet({ id: testId('set', from + at) }))
    store.apply(testUpdate(from + 1, sets), BOOT)
    store.apply(testUpdate(from + 2, [], { removes: sets.map(wantedKey) }), BOOT)
  }
  assert.equal(disk.load('seen').length, SEEN_SETS_MAX)
  assert.equal(store.seen(testId('set', 0)), undefined)
  assert.equal(store.seen(testId('set', SEEN_SETS_MAX + 1_999))?.epoch, 1)
})

test('a change of something that is not here, or of something newer, is refused', () => {
  const store = open(new MemoryDisk())
  const isRefused = (error: unknown): boolean => isPlatformError(error, 'PROTOCOL_VIOLATION')
  assert.throws(() => store.apply(testUpdate(1, [testSet()]), BOOT), isRefused)
  store.apply(testUpdate(5, [], { full: true }), BOOT)
  assert.throws(() => store.apply(testUpdate(4, [testSet()]), BOOT), isRefused)
  assert.equal(store.sets.size, 0)
  assert.ok(store.apply(testUpdate(5, [testSet()]), BOOT))
})

test('an endless snapshot is refused and leaves what was there', () => {
  const store = open(new MemoryDisk())
  store.apply(testUpdate(1, [testSet()], { full: true }), BOOT)
  const part = (at: number) =>
    testUpdate(
      2,
      Array.from({ length: 1_000 }, (_, n) => ({
        ...testPort(1, { on: 'remote' as const, vtep: '172.16.0.2' }),
        id: testId('port', at * 1_000 + n),
      })),
      { full: true, last: false },
    )
  assert.throws(() => {
    for (let at = 0; at <= WANTED_ITEMS_MAX / 1_000; at++) store.apply(part(at), BOOT)
  }, isPlatformError)
  assert.equal(store.ports.size, 0)
  assert.equal(store.sets.size, 1)
})

test('confirmation lasts until it is withdrawn, over restarts', () => {
  const disk = new MemoryDisk()
  const store = open(disk)
  assert.equal(store.confirmedBootId, null)
  store.apply(testUpdate(1, [], { full: true }), BOOT)
  assert.equal(open(disk).confirmedBootId, BOOT)
  store.unconfirm()
  assert.equal(store.confirmedBootId, null)
  assert.equal(open(disk).confirmedBootId, null)
  store.apply(testUpdate(1, []), BOOT)
  assert.equal(open(disk).confirmedBootId, BOOT)
})

test('the list of servers is kept', () => {
  const disk = new MemoryDisk()
  open(disk).keepServers(['172.31.0.1:7443', '172.31.0.1:7444'])
  open(disk).keepServers([])
  assert.deepEqual(open(disk).servers, ['172.31.0.1:7443', '172.31.0.1:7444'])
})

test('items that cannot be read make the next session begin with a snapshot', () => {
  const disk = new MemoryDisk()
  open(disk).apply(testUpdate(4, [testSet()], { full: true }), BOOT)
  disk.write([{ type: 'put', kind: 'item', key: 'set/x', value: '{"kind":"set","id":"x"}' }])
  const again = open(disk)
  assert.equal(again.revision, null)
  assert.equal(again.sets.size, 1)
  // A restart before the snapshot asks for one again, a restart after it does not.
  assert.equal(open(disk).revision, null)
  again.apply(testUpdate(5, [testSet()], { full: true }), BOOT)
  assert.equal(open(disk).revision, 5)
})

test('the database can be read by its owner only, whoever made its folder', () => {
  const file = path.join(folder, 'private.db')
  writeFileSync(file, '', { mode: 0o644 })
  const disk = openSqliteDisk({ path: file, onDamaged: () => assert.fail() })
  disk.write([{ type: 'put', kind: 'a', key: '1', value: 'secret' }])
  for (const suffix of ['', '-wal']) assert.equal(statSync(`${file}${suffix}`).mode & 0o777, 0o600)
  disk.close()
})

test('the database keeps what was written, refuses a second agent, and is replaced when it is damaged', () => {
  const file = path.join(folder, 'state.db')
  const damaged: unknown[] = []
  const openFile = (): Disk =>
    openSqliteDisk({ path: file, onDamaged: (cause) => damaged.push(cause) })
  const disk = openFile()
  open(disk).apply(testUpdate(3, [testSet(), testNetwork()], { full: true }), BOOT)
  assert.throws(openFile, (error) => isPlatformError(error, 'SETUP_FAILED'))
  disk.close()
  const again = openFile()
  assert.deepEqual([...open(again).sets.values()], [testSet()])
  again.write([{ type: 'clear', kind: 'item' }])
  assert.equal(again.load('item').length, 0)
  again.close()
  assert.equal(damaged.length, 0)
  writeFileSync(file, 'this is no database'.repeat(1_000))
  const fresh = openFile()
  assert.equal(open(fresh).revision, null)
  assert.equal(damaged.length, 1)
  fresh.close()
})

test('a write that fails half-way changes nothing', () => {
  const disk = openSqliteDisk({ path: ':memory:', onDamaged: () => assert.fail() })
  disk.write([{ type: 'put', kind: 'a', key: '1', value: 'one' }])
  assert.throws(() =>
    disk.write([
      { type: 'put', kind: 'a', key: '1', value: 'two' },
      // @ts-expect-error The column does not take it.
      { type: 'put', kind: 'a', key: '2', value: null },
    ]),
  )
  assert.deepEqual(disk.load('a'), [{ kind: 'a', key: '1', value: 'one' }])
  disk.close()
})
