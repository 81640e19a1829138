/** Proves on the real engines what `nubo up`, `down` and `lab` promise, also after the worst: that is, kill -9. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { findProcess, run } from '@nubo/runtime'
import { findCgroupTrees } from './cgroups.ts'
import { demonstrate } from './demo.ts'
import { createLab, type Lab } from './lab.ts'
import { mountsBelow, namespacesOf } from './leftovers.ts'
import type { LabStatus } from './status.ts'
import { waitUntil } from './wait.ts'

const SOON = { timeoutMs: 60_000 }
const base = mkdtempSync(join(tmpdir(), 'nl-'))
chmodSync(base, 0o711)
const labs = ['one', 'two'].map((name) => createLab({ home: join(base, name) }))
const [one, two] = labs
assert.ok(one !== undefined && two !== undefined)

after(async () => {
  for (const lab of labs) await lab.down({ purge: true })
  rmSync(base, { recursive: true, force: true })
})

function pidOf(status: LabStatus | undefined, program: string): number {
  const pid = status?.processes.find(({ name }) => name === program)?.pid
  return pid ?? assert.fail(`${program} does not run`)
}

/** What a lab may have left on the machine outside of its home; nothing, it is hoped. */
async function tracesOf(lab: Lab, pids: readonly number[]): Promise<string[]> {
  const { id, folder } = lab.home
  const { stdout: links } = await run({ argv: ['ip', '-o', 'link'] })
  const { stdout: loops } = await run({
    argv: ['losetup', '--list', '--noheadings', '--output', 'BACK-FILE'],
  })
  return [
    ...pids.filter((pid) => findProcess(pid) !== undefined).map((pid) => `process ${pid}`),
    ...namespacesOf(id).map((name) => `namespace ${name}`),
    ...links.split('\n').filter((line) => line.includes(` ${id}-`)),
    ...mountsBelow(readFileSync('/proc/self/mountinfo', 'utf8'), folder),
    ...loops.split('\n').filter((line) => line.startsWith(folder)),
    ...findCgroupTrees().flatMap((tree) => globSync(join(tree.root, id))),
    ...(existsSync(lab.home.run) && globSync(join(lab.home.run, '*')).length > 0
      ? [lab.home.run]
      : []),
    ...(existsSync(lab.home.cliConfig) ? [lab.home.cliConfig] : []),
  ]
}

const allPids = (status: LabStatus | undefined): number[] =>
  status?.processes.map(({ pid }) => pid).filter((pid) => pid !== null) ?? []

describe('a lab', () => {
  it('does not start when its port is taken, says by whom, and leaves nothing', async () => {
    const squatter = createServer().listen(0, '127.0.0.1')
    await once(squatter, 'listening')
    const { port } = squatter.address() as AddressInfo // proof: it listens on TCP
    await assert.rejects(
      one.up({ hosts: 1, apiPort: port }),
      (error) =>
        isPlatformError(error, 'PORT_TAKEN') && error.message.includes(`(process ${process.pid})`),
    )
    squatter.close()
    assert.equal(await one.status(), undefined)
    assert.deepEqual(await tracesOf(one, []), [])
  })

  it('comes up with hosts that are ready, and proves it with the demo', async () => {
    const steps: string[] = []
    const status = await one.up({
      hosts: 2,
      tell: (step) => step.at === 'done' && steps.push(step.step),
    })
    assert.deepEqual(
      status.hosts.map(({ name, rack, state, power }) => ({ name, rack, state, power })),
      [
        { name: 'h1', rack: 'rack-1', state: 'ready', power: 'on' },
        { name: 'h2', rack: 'rack-2', state: 'ready', power: 'on' },
      ],
    )
    assert.ok(status.processes.every(({ state, pid }) => state === 'running' && pid !== null))
    assert.match(status.engines['docker'] ?? '', /^\d+\./)
    assert.ok(steps.includes('database') && steps.includes('hosts ready'), steps.join())

    const demo = await demonstrate(one.client())
    assert.match(demo.answer, /^HTTP\/1\.1 200 OK[^]*Hello from a container set/)
    assert.equal(
      new Set(demo.sets.map(({ host }) => host)).size,
      2,
      'the sets are on different hosts',
    )
  })

  it('does nothing the second time, and adds hosts but takes none away', async () => {
    const before = await one.status()
    const again = await one.up()
    assert.deepEqual(again.processes, before?.processes)
    await assert.rejects(one.up({ hosts: 1 }), /number can only grow/)
    await assert.rejects(
      one.powerOff('h'.repeat(65)),
      /host: Too big: expected string to have <=64/,
    )
    const demo = await demonstrate(one.client())
    assert.match(demo.answer, /200 OK/)
  })

  it('starts again what dies: a server, the registry, the database', async () => {
    for (const program of ['server-s1', 'registry', 'postgres']) {
      const before = pidOf(await one.status(), program)
      process.kill(before, 'SIGKILL')
      await waitUntil(
        `${program} runs again`,
        async () => {
          const found = (await one.status())?.processes.find(({ name }) => name === program)
          return found?.state === 'running' && found.pid !== before
        },
        SOON,
      )
    }
    await waitUntil(
      'the API answers',
      () =>
        one
          .client()
          .whoAmI()
          .then(
            () => true,
            () => false,
          ),
      SOON,
    )
  })

  it('lives beside another lab, and neither is touched by the end of the other', async () => {
    const status = await two.up({ hosts: 1 })
    const first = await one.status()
    assert.notEqual(status.id, first?.id)
    assert.equal(new Set([...status.api, ...(first?.api ?? [])]).size, 4)
    assert.notEqual(status.hosts[0]?.managementAddress, first?.hosts[0]?.managementAddress)
    await two.down({ purge: true })
    assert.deepEqual(await tracesOf(two, allPids(status)), [])
    assert.equal(existsSync(two.home.folder), false)
    assert.deepEqual((await one.status())?.processes, first?.processes)
  })

  it('lets one command at a time change it', async () => {
    const results = await Promise.allSettled([one.up(), one.down(), one.down()])
    const refused = results.filter((result) => result.status === 'rejected')
    assert.ok(
      refused.every(({ reason }) => isPlatformError(reason, 'NOT_ALLOWED_NOW')),
      String(refused[0]?.reason),
    )
    const status = await one.up()
    assert.ok(status.isUp)
  })

  it('has its sets again after all of it was killed, when it is started again', async () => {
    const before = await one.status()
    process.kill(pidOf(before, 'supervisor'), 'SIGKILL')
    process.kill(pidOf(before, 'server-s1'), 'SIGKILL')
    process.kill(pidOf(before, 'h1-dockerd'), 'SIGKILL')
    const notes: string[] = []
    const status = await one.up({ tell: (step) => step.at === 'note' && notes.push(step.text) })
    assert.match(notes.join(), /Removed what an earlier lab left/)
    assert.deepEqual(
      allPids(before).filter(
        (pid) => findProcess(pid) !== undefined && !allPids(status).includes(pid),
      ),
      [],
    )
    await waitUntil(
      'the sets run again',
      async () => (await one.client().listAll('setList')).every(({ state }) => state === 'running'),
      SOON,
    )
    const demo = await demonstrate(one.client())
    assert.match(demo.answer, /200 OK/)
  })

  it('is gone without a trace after down, also when its supervisor is dead, and down again is no error', async () => {
    const status = await one.status()
    process.kill(pidOf(status, 'supervisor'), 'SIGKILL')
    await one.down()
    assert.deepEqual(await tracesOf(one, allPids(status)), [])
    assert.equal(await one.status(), undefined)
    await assert.rejects(one.powerOff('h1'), /No cloud runs here/)
    await one.down({ purge: true })
    assert.equal(existsSync(one.home.folder), false)
    await one.down()
    assert.equal(existsSync(one.home.folder), false)
  })

  it('is taken down also when its home was removed by hand while it ran', async () => {
    const status = await two.up({ hosts: 1 })
    rmSync(two.home.run, { recursive: true })
    rmSync(two.home.stateFile)
    rmSync(two.home.secrets, { recursive: true })
    await two.down({ purge: true })
    assert.deepEqual(await tracesOf(two, allPids(status)), [])
    assert.equal(existsSync(two.home.folder), false)
  })

  it('never takes away what is not its own: a folder of somebody, a disk that the home lies on', async (context) => {
    const foreign = join(base, 'foreign')
    mkdirSync(join(foreign, 'run'), { recursive: true })
    for (const file of ['run/file', 'thesis.txt']) writeFileSync(join(foreign, file), '')
    await assert.rejects(createLab({ home: foreign }).down({ purge: true }), /is no cloud of Nubo/)
    assert.ok(existsSync(join(foreign, 'run/file')))

    const disk = createLab({ home: join(base, 'disk') })
    mkdirSync(disk.home.folder)
    await run({ argv: ['mount', '-t', 'tmpfs', '-o', 'mode=711', 'tmpfs', disk.home.folder] })
    context.after(() => run({ argv: ['umount', disk.home.folder] }))
    mkdirSync(disk.home.log)
    await disk.down({ purge: true })
    assert.deepEqual(globSync(join(disk.home.folder, '*')), [])
    await run({ argv: ['mountpoint', disk.home.folder] })
  })
})
