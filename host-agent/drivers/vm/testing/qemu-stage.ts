import { existsSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  findProcess,
  run,
  signalProcess,
  silentLog,
  systemClock,
  systemRandom,
} from '@nubo/runtime/process'
import type { ImageReference } from '../../set/set-driver.ts'
import { until } from '../conformance/stage.ts'
import { presentLinks } from '../qemu/taps.ts'
import { openQemuDriver, type QemuDriverOptions } from '../qemu/qemu-vm-driver.ts'
import type { VmRecord } from '../qemu/vm-records.ts'
import type { VmDriver, VmInterfaceSpec, VmSpec } from '../vm-driver.ts'
import type { VmImage } from '../vm-images.ts'
import { FolderImages } from './folder-images.ts'
import { tinyGuest, tinyKernel } from './tiny-guest.ts'

/** Names of links have 15 characters at most and must not meet those of another test run. */
const LINK_PREFIX = `nv${process.pid}x`
export const GUEST_BYTES = 2 * 2 ** 20
const TUN = '/dev/net/tun'

export function imageOf(letter: string): ImageReference {
  return { repository: 'team/tiny', digest: `sha256:${letter.repeat(64)}` }
}

/** Numbers from 0 to 255. */
export function tapOf(number: number): VmInterfaceSpec {
  const mac = `0a:00:00:00:03:${number.toString(16).padStart(2, '0')}`
  return { hostInterface: `${LINK_PREFIX}${number}`, mac, mtuBytes: 1_450 }
}

/** Images: `a` obeys its power button, `b` does not, `c` is a kernel. A host for real QEMUs in a folder of its own, and drivers for it, one at a time. */
export class QemuStage {
  readonly folder: string
  readonly images: FolderImages
  readonly cgroupParent: string
  readonly #launcher: readonly string[]

  static async open(): Promise<QemuStage> {
    const folder = await mkdtemp(path.join(tmpdir(), 'nv-'))
    await chmod(folder, 0o711)
    const stage = new QemuStage(folder, await makeLauncher(folder))
    await mkdir(path.join(folder, 'registry'))
    for (const [letter, isObedient] of [
      ['a', true],
      ['b', false],
    ] as const) {
      const file = path.join(folder, 'registry', letter)
      await writeFile(`${file}.raw`, tinyGuest({ isObedient }))
      await truncate(`${file}.raw`, GUEST_BYTES)
      await run({ argv: ['qemu-img', 'convert', '-O', 'qcow2', `${file}.raw`, file] })
      stage.images.offer(imageOf(letter).digest, file, GUEST_BYTES)
    }
    const kernel = path.join(folder, 'registry/kernel')
    await writeFile(kernel, tinyKernel())
    stage.images.offer(imageOf('c').digest, kernel, null)
    return stage
  }

  private constructor(folder: string, launcher: readonly string[]) {
    this.folder = folder
    this.#launcher = launcher
    this.images = new FolderImages(path.join(folder, 'images'))
    this.cgroupParent = `/${path.basename(folder)}`
  }

  /** A driver of the next life of the agent; the one before must be closed. */
  driver(change: Partial<QemuDriverOptions> = {}): VmDriver {
    return openQemuDriver({ ...this.#options(), ...change })
  }

  #options(): QemuDriverOptions {
    return {
      folder: path.join(this.folder, 'state'),
      runFolder: path.join(this.folder, 'run'),
      cgroupParent: this.cgroupParent,
      // Of this process alone, so that suites that run side by side do not meet.
      accounts: { base: 1_000_000_000 + process.pid * 100, count: 100 },
      bootId: 'boot-1',
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      images: this.images,
      launcher: this.#launcher,
    }
  }

  /**
   * The text of a module that is an agent: it starts the VM with a driver of this host, says `started`, and lives on. For a
   * process of its own, which can be killed.
   */
  agentProgram(vm: VmSpec): string {
    const from = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href)
    const {
      clock: _clock,
      random: _random,
      log: _log,
      images: _images,
      ...options
    } = this.#options()
    const image: VmImage = {
      kind: 'disk',
      path: path.join(this.folder, 'images', vm.image.digest.slice('sha256:'.length)),
      format: 'qcow2',
      sizeBytes: GUEST_BYTES,
    }
    return `
      import { silentLog, systemClock, systemRandom } from ${from('../../../../runtime/process/index.ts')}
      import { openQemuDriver } from ${from('../qemu/qemu-vm-driver.ts')}
      const driver = openQemuDriver({
        ...${JSON.stringify(options)},
        clock: systemClock, random: systemRandom, log: silentLog,
        images: { ensure: async () => {}, open: async () => (${JSON.stringify(image)}) },
      })
      await driver.prepare()
      await driver.start(${JSON.stringify(vm)})
      console.log('started')
      setInterval(() => {}, 1_000)
    `
  }

  record(vmId: string): VmRecord {
    const file = path.join(this.folder, 'state/vms', vmId, 'vm.json')
    return JSON.parse(readFileSync(file, 'utf8')) as VmRecord
  }

  /** Process of the QEMU that the record names. */
  pid(vmId: string): number {
    const { run: is } = this.record(vmId)
    if (is.at !== 'running') throw new Error('it does not run')
    return is.pid
  }

  /** kill -9, and waits until it is gone. */
  async crash(vmId: string): Promise<void> {
    const pid = this.pid(vmId)
    signalProcess(pid, 'SIGKILL')
    await until('QEMU is gone', async () => findProcess(pid) === undefined)
  }

  /** What there is of a VM on the machine. */
  async traces({ vmId, interfaces }: VmSpec): Promise<string[]> {
    const folders = [
      path.join(this.folder, 'state/vms', vmId),
      path.join(this.folder, 'run', vmId),
      ...this.#cgroups(`vm-${vmId}`),
    ].filter((folder) => existsSync(folder))
    const taps = await presentLinks(interfaces.map(({ hostInterface }) => hostInterface))
    return [...folders, ...taps, ...processesWith(this.folder, vmId)]
  }

  /** Ends what a failed test has left, and leaves nothing. */
  async close(): Promise<void> {
    const last = this.driver()
    await last.prepare()
    for (const { vmId } of await last.list()) await last.remove(vmId)
    await last.close()
    for (const folder of this.#cgroups('')) if (existsSync(folder)) rmdirSync(folder)
    await rm(this.folder, { recursive: true, force: true })
  }

  #cgroups(below: string): string[] {
    const root = '/sys/fs/cgroup'
    return ['', ...readdirSync(root)].map((name) => path.join(root, name, this.cgroupParent, below))
  }
}

/**
 * On machines without udev only root may open the tap device. Rather than changing that, a node of our own is put over it
 * in a mount namespace that each QEMU gets; unmounts of the machine reach into it.
 */
async function makeLauncher(folder: string): Promise<readonly string[]> {
  if ((statSync(TUN).mode & 0o006) === 0o006) return []
  const node = path.join(folder, 'tun')
  await run({ argv: ['mknod', '-m', '0666', node, 'c', '10', '200'] })
  const script = path.join(folder, 'enter')
  await writeFile(script, `#!/bin/sh\nmount --bind ${node} ${TUN} && exec "$@"\n`, { mode: 0o700 })
  return ['unshare', '--mount', '--propagation', 'slave', script]
}

/** Command lines of living processes that have all texts in them, our own left out: other suites have the same ids. */
function processesWith(...texts: readonly string[]): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      try {
        const line = readFileSync(`/proc/${name}/cmdline`, 'latin1')
        return texts.every((text) => line.includes(text)) && findProcess(Number(name)) !== undefined
          ? [`process ${name}: ${line.split('\0')[0]}`]
          : []
      } catch {
        return [] // It has ended.
      }
    })
}
