// What happens to hosts, to real QEMUs and to what lies on disk: found, told, and gone on from.
import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { PlatformError } from '@nubo/base'
import { findProcess, run, signalProcess, silentLog, type Log } from '@nubo/runtime/process'
import { hasCode, Stage, until } from './conformance/stage.ts'
import type { QemuDriverOptions } from './qemu/qemu-vm-driver.ts'
import { vmCgroup } from './qemu/vm-cgroups.ts'
import { plainVmSpec } from './testing/plain-vm-spec.ts'
import { GUEST_BYTES, imageOf, QemuStage, tapOf } from './testing/qemu-stage.ts'
import type { VmDriver, VmSpec } from './vm-driver.ts'

const AUTH = async (): Promise<{ registry: string; token: string }> => ({
  registry: '127.0.0.1:5000',
  token: 'token',
})

describe('faults of a host of VMs', () => {
  let host: QemuStage
  /** Of the drivers of the next lives. */
  let options: Partial<QemuDriverOptions> = {}
  const stage = new Stage()

  before(async () => {
    host = await QemuStage.open()
    await stage.open({
      open: () => host.driver(options),
      image: imageOf('a'),
      stubbornImage: imageOf('b'),
      absentImage: imageOf('0'),
      imageBytes: GUEST_BYTES,
      auth: AUTH,
      interfaces: (number) => [tapOf(number)],
      crash: async (vmId) => await host.crash(vmId),
      traces: async (spec) => await host.traces(spec),
      dispose: async () => {},
    })
  })
  after(async () => {
    await stage.driver.close()
    await host.close()
  })

  test('a QEMU has no rights, an account of its own, its cgroup, and sockets that it cannot exchange', async () => {
    const [one, two] = [await stage.started(), await stage.started()]
    const pid = host.pid(one.vmId)
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const { uid } = host.record(one.vmId)
    assert.notEqual(uid, host.record(two.vmId).uid)
    assert.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'))
    assert.match(status, /^Groups:\s*$/m)
    assert.match(status, /^CapEff:\t0+$/m)
    assert.match(status, /^CapBnd:\t0+$/m)
    assert.match(status, /^NoNewPrivs:\t1$/m)
    assert.match(status, /^Seccomp:\t2$/m)
    const cgroups = readFileSync(`/proc/${pid}/cgroup`, 'latin1')
    assert.match(cgroups, new RegExp(`:${vmCgroup(host.cgroupParent, one.vmId)}$`, 'm'))
    const sockets = statSync(path.join(host.folder, 'run', one.vmId))
    assert.deepEqual([sockets.uid, sockets.mode & 0o777], [0, 0o700])
    const record = statSync(path.join(host.folder, 'state/vms', one.vmId, 'vm.json'))
    assert.deepEqual([record.uid, record.mode & 0o777], [0, 0o600])
    // No child of the agent: it is in a session of its own, which no terminal or supervisor ends.
    const session = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[3]
    assert.equal(session, String(pid))
    await stage.remove(one)
    await stage.remove(two)
  })

  test('a QEMU that hangs is found as one that does not answer, hides no other, and can be killed', async () => {
    const [hung, other] = [await stage.started(), await stage.started()]
    signalProcess(host.pid(hung.vmId), 'SIGSTOP')
    const found = await stage.driver.list()
    const answers = (vm: VmSpec): unknown => {
      const one = found.find(({ vmId }) => vmId === vm.vmId)
      return [one?.state, one?.isAnswering]
    }
    assert.deepEqual(
      [answers(hung), answers(other)],
      [
        ['running', false],
        ['running', true],
      ],
    )
    await assert.rejects(stage.driver.pause(hung.vmId), hasCode('ENGINE_UNAVAILABLE'))
    await stage.driver.kill(hung.vmId)
    assert.equal((await stage.found(hung)).end, 'killed')
    await stage.remove(hung)
    await stage.remove(other)
  })

  test('after a boot of the host its VMs have crashed, and start with their disks', async () => {
    const vm = await stage.started()
    const [link] = vm.interfaces
    await stage.nextLife(async () => {
      await host.crash(vm.vmId)
      await run({ argv: ['ip', 'link', 'del', link?.hostInterface ?? ''] })
      await rm(path.join(host.folder, 'run'), { recursive: true })
      options = { bootId: 'boot-2' }
    })
    const found = await stage.found(vm)
    assert.deepEqual([found.state, found.end], ['stopped', 'crashed'])
    await stage.driver.start(vm)
    await stage.boots(vm, 2)
    await stage.remove(vm)
  })

  test('a pid that somebody else has got is not taken for QEMU, and is not killed', async () => {
    const vm = await stage.started()
    const bystander = process.pid
    await stage.nextLife(async () => {
      await host.crash(vm.vmId)
      const record = host.record(vm.vmId)
      const file = path.join(host.folder, 'state/vms', vm.vmId, 'vm.json')
      await writeFile(file, JSON.stringify({ ...record, run: { ...record.run, pid: bystander } }))
    })
    assert.equal((await stage.found(vm)).end, 'crashed')
    await stage.driver.kill(vm.vmId)
    await stage.remove(vm)
    assert.ok(findProcess(bystander) !== undefined)
  })

  test('a base image that is gone is asked for; with a broken one QEMU says what is wrong', async () => {
    const other = await stage.started()
    const vm = await stage.started({ image: stage.rig.stubbornImage })
    await stage.driver.kill(vm.vmId)
    await host.images.drop(vm.image)
    await assert.rejects(stage.driver.start(vm), hasCode('IMAGE_PULL_FAILED'))
    assert.equal((await stage.found(vm)).state, 'stopped')
    await stage.driver.ensureImage(vm.image, AUTH)
    const image = await host.images.open(vm.image)
    assert.ok(image.kind === 'disk')
    const good = await readFile(image.path)
    await writeFile(image.path, 'not a disk')
    await assert.rejects(stage.driver.start(vm), (error) => {
      assert.ok(error instanceof PlatformError && error.code === 'VM_START_FAILED')
      return /qcow2/i.test(error.message)
    })
    assert.equal((await stage.found(vm)).state, 'incomplete')
    await writeFile(image.path, good)
    await stage.driver.start(vm)
    await stage.boots(vm, 2)
    assert.equal((await stage.found(other)).state, 'running')
    await stage.remove(vm)
    await stage.remove(other)
  })

  test('a link of somebody else with the name of a tap is refused, and left alone', async () => {
    const vm = stage.spec()
    const name = vm.interfaces[0]?.hostInterface ?? ''
    await run({ argv: ['ip', 'link', 'add', name, 'type', 'bridge'] })
    try {
      await assert.rejects(stage.driver.start(vm), hasCode('VM_START_FAILED'))
      await stage.driver.remove(vm.vmId)
      assert.deepEqual(await host.traces(vm), [name])
    } finally {
      await run({ argv: ['ip', 'link', 'del', name] })
    }
    await stage.driver.start(vm)
    await stage.boots(vm, 1)
    await stage.remove(vm)
  })

  test('a damaged record hides no other VM, and nobody throws the disk beside it away', async () => {
    const [vm, other] = [await stage.started(), await stage.started()]
    await stage.driver.kill(vm.vmId)
    const folder = path.join(host.folder, 'state/vms', vm.vmId)
    const record = await readFile(path.join(folder, 'vm.json'))
    await stage.nextLife(async () => await writeFile(path.join(folder, 'vm.json'), '{'))
    const ids = (await stage.driver.list()).map(({ vmId }) => vmId)
    assert.deepEqual(ids, [other.vmId])
    for (const call of ['find', 'kill', 'remove'] as const)
      await assert.rejects(stage.driver[call](vm.vmId), hasCode('INTERNAL'), call)
    await stage.nextLife(async () => await writeFile(path.join(folder, 'vm.json'), record))
    await stage.driver.start(vm)
    await stage.boots(vm, 2)
    await stage.remove(vm)
    await stage.remove(other)
  })

  test('a disk that is full is told; a guest that writes is held until there is room, and loses nothing', async (t) => {
    const folder = path.join(host.folder, 'small')
    await mkdir(folder, { mode: 0o711 })
    await run({ argv: ['mount', '-t', 'tmpfs', '-o', 'size=2m,mode=0711', 'tmpfs', folder] })
    t.after(async () => await run({ argv: ['umount', folder] }))
    const filler = path.join(folder, 'filler')
    const fill = async (): Promise<void> =>
      await writeFile(filler, Buffer.alloc(4 * 2 ** 20)).catch(() => undefined)
    let isFilling = true
    const driver: VmDriver = host.driver({
      folder,
      runFolder: path.join(host.folder, 'run2'),
      // The guest's first deed is a write.
      beforeStep: async (step) => (isFilling && step === 'start: go' ? await fill() : undefined),
    })
    await driver.prepare()
    const [vm, next] = [stage.spec({ interfaces: [] }), stage.spec({ interfaces: [] })]
    await driver.start(vm)
    await until('the guest is held', async () => (await driver.find(vm.vmId))?.state === 'paused')
    assert.equal(await textOf(driver, vm), '')
    await assert.rejects(driver.start(next), hasCode('HOST_DISK_FULL'))
    await rm(filler)
    isFilling = false
    await driver.resume(vm.vmId)
    await until('the guest is up', async () => (await textOf(driver, vm)).includes('READY 1'))
    await driver.start(next)
    // Nothing that ends a VM needs room.
    await fill()
    await driver.kill(next.vmId)
    assert.equal((await driver.find(next.vmId))?.state, 'stopped')
    await driver.shutDown(vm.vmId)
    await until('the guest is off', async () => (await driver.find(vm.vmId))?.state === 'stopped')
    assert.equal((await driver.find(vm.vmId))?.end, 'shut-down')
    for (const { vmId } of [vm, next]) await driver.remove(vmId)
    assert.deepEqual(await driver.list(), [])
    await driver.close()
  })

  test('calls that race on one VM are done one after the other', async () => {
    const vm = stage.spec()
    const calls = [
      stage.driver.start(vm),
      stage.driver.pause(vm.vmId),
      stage.driver.kill(vm.vmId),
      stage.driver.start(vm),
      stage.driver.remove(vm.vmId),
      stage.driver.start(vm),
      stage.driver.shutDown(vm.vmId),
    ]
    await Promise.all(calls)
    assert.equal((await stage.found(vm)).state, 'running')
    await stage.remove(vm)
  })

  test('a VM boots from a kernel, with a disk of its own or without one', async () => {
    const image = imageOf('c')
    await stage.driver.ensureImage(image, AUTH)
    const boot = { from: 'kernel', commandLine: 'a=b,c "d"' } as const
    for (const rootDisk of [null, { sizeBytes: GUEST_BYTES }]) {
      const vm = await stage.started({ image, boot, rootDisk })
      await stage.driver.shutDown(vm.vmId)
      assert.equal((await stage.untilState(vm, 'stopped')).end, 'shut-down')
      await stage.remove(vm)
    }
    for (const wrong of [{ image }, { boot }])
      await assert.rejects(stage.driver.start(stage.spec(wrong)), hasCode('INVALID_INPUT'))
  })

  test('what QEMU says of itself does not fill the disk', async () => {
    const vm = await stage.started()
    const log = path.join(host.folder, 'state/vms', vm.vmId, 'qemu.log')
    await writeFile(log, Buffer.alloc(2 * 2 ** 20))
    await stage.driver.list()
    assert.equal(statSync(log).size, 0)
    await stage.remove(vm)
  })

  test('many start at once', async () => {
    const vms = Array.from({ length: 6 }, () => stage.spec())
    await Promise.all(vms.map(async (vm) => await stage.driver.start(vm)))
    await Promise.all(vms.map(async (vm) => await stage.boots(vm, 1)))
    await Promise.all(vms.map(async (vm) => await stage.remove(vm)))
    assert.deepEqual(await stage.driver.list(), [])
  })
})

describe('preparing a host', () => {
  let host: QemuStage
  before(async () => void (host = await QemuStage.open()))
  after(async () => await host.close())

  test('the accelerator is probed once per boot', async () => {
    let probes = 0
    const log: Log = {
      ...silentLog,
      info: (message) => void (probes += message.includes('accelerator') ? 1 : 0),
    }
    for (const [bootId, expected] of [
      ['boot-1', 1],
      ['boot-1', 1],
      ['boot-2', 2],
    ] as const) {
      const driver = host.driver({ log, bootId })
      await driver.prepare()
      await driver.prepare()
      await driver.close()
      assert.equal(probes, expected)
    }
  })

  test('what is missing is said, with what to do', async () => {
    const refuses = async (change: Partial<QemuDriverOptions>, words: RegExp): Promise<void> => {
      const driver = host.driver(change)
      await assert.rejects(driver.prepare(), (error) => {
        assert.ok(error instanceof PlatformError && error.code === 'SETUP_FAILED', String(error))
        return words.test(JSON.stringify(error.details))
      })
      assert.equal(driver.host(), null)
      await assert.rejects(
        driver.start(plainVmSpec()),
        (error) => error instanceof PlatformError && error.code === 'ENGINE_UNAVAILABLE',
      )
      await driver.close()
    }
    await refuses({ runFolder: path.join(host.folder, 'a=b') }, /without , and =/)
    await refuses({ runFolder: path.join(host.folder, 'x'.repeat(60)) }, /short/)
    const closed = path.join(host.folder, 'closed')
    await mkdir(closed, { mode: 0o700 })
    await refuses({ folder: path.join(closed, 'state') }, /chmod o\+x/)
    if ((statSync('/dev/net/tun').mode & 0o006) !== 0o006)
      await refuses({ launcher: [] }, /chmod 0666 \/dev\/net\/tun/)
  })
})

async function textOf(driver: VmDriver, { vmId }: VmSpec): Promise<string> {
  const port = await driver.serial(vmId)
  const text = String(port.read() ?? '')
  port.destroy()
  return text
}
