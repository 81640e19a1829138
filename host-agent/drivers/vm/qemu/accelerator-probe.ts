import { stat, readFile, rename, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { explain } from '@nubo/base'
import { ProgramError, run, type Log } from '@nubo/runtime/process'
import type { Accelerator } from '../vm-driver.ts'
import { unprivileged } from './accounts.ts'
import { isErrno } from './disk-errors.ts'

const KVM = '/dev/kvm'
const DEADLINE_MS = 5_000
/** Firmware wants at least a track of a disk. */
const DISK_BYTES = 2 ** 20
/** `isa-debug-exit` ends QEMU with twice the value that the guest writes, plus one. */
const DONE_EXIT_CODE = 2 * 0x2a + 1

/**
 * A boot sector that counts down from a hundred million and then tells QEMU to exit. A processor that runs guests does it
 * in a twentieth of a second; where the kernel has to emulate the guest's instructions, as with some nested KVMs that
 * answer well and then take minutes to boot, it never ends within the deadline.
 */
const PROBE = Buffer.from(
  [
    'fa', // cli
    '66b900e1f505', // mov ecx, 100000000
    '6649', // again: dec ecx
    '75fc', // jnz again
    'baf400', // mov dx, 0xf4
    'b02a', // mov al, 0x2a
    'ee', // out dx, al
    'f4', // halt: hlt
    'ebfd', // jmp halt
  ].join(''),
  'hex',
)

interface ProbeOptions {
  /** For the boot sector and the answer. */
  readonly folder: string
  readonly bootId: string
  readonly uid: number
  /** Of QEMU: another one may work otherwise. */
  readonly version: string
  readonly log: Log
}

/** What runs guests on this host, found out once per boot. Anything that goes wrong means `tcg`, which always works. */
export async function probeAccelerator(options: ProbeOptions): Promise<Accelerator> {
  const { folder, bootId, version, log } = options
  const file = path.join(folder, 'accelerator.json')
  const known = await readAnswer(file)
  if (known?.bootId === bootId && known.version === version) return known.accelerator
  const problem = await kvmProblem(options)
  const accelerator = problem === null ? 'kvm' : 'tcg'
  log.info('the accelerator of this host was probed', { accelerator, problem })
  await writeFile(`${file}.new`, JSON.stringify({ bootId, version, accelerator }))
  await rename(`${file}.new`, file)
  return accelerator
}

/** A group that an account must have to use KVM; null if all may, or only root. */
export async function kvmGroup(): Promise<number | null> {
  try {
    const { mode, gid } = await stat(KVM)
    const isForAll = (mode & 0o006) === 0o006
    return !isForAll && (mode & 0o060) === 0o060 && gid !== 0 ? gid : null
  } catch {
    return null
  }
}

/** Why KVM is not used; null if it works. */
async function kvmProblem({ folder, uid }: ProbeOptions): Promise<string | null> {
  try {
    await stat(KVM)
  } catch (error) {
    return isErrno(error, 'ENOENT') ? `there is no ${KVM}` : explain(error)
  }
  const sector = path.join(folder, 'probe.raw')
  await writeFile(sector, bootSector(PROBE), { mode: 0o444 })
  await truncate(sector, DISK_BYTES)
  try {
    await run({
      argv: unprivileged(uid, ['qemu-system-x86_64', ...probeArgv(sector)], await kvmGroup()),
      timeoutMs: DEADLINE_MS,
      cwd: '/',
    })
    return 'the guest ended without a word'
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    const { failure } = error
    return failure.at === 'exit' && failure.exitCode === DONE_EXIT_CODE ? null : error.message
  }
}

function probeArgv(sector: string): readonly string[] {
  const disk = {
    driver: 'raw',
    'node-name': 'd',
    'read-only': true,
    file: { driver: 'file', filename: sector },
  }
  return [
    ...'-nodefaults -no-user-config -display none -no-reboot -m 32'.split(' '),
    ...'-machine q35 -accel kvm -cpu host -device isa-debug-exit,iobase=0xf4,iosize=1'.split(' '),
    '-blockdev',
    JSON.stringify(disk),
    ...'-device virtio-blk-pci,drive=d,bootindex=0'.split(' '),
  ]
}

/** 512 bytes that a firmware takes for bootable. */
function bootSector(code: Buffer): Buffer {
  const sector = Buffer.alloc(512)
  code.copy(sector)
  sector.writeUInt16LE(0xaa55, 510)
  return sector
}

async function readAnswer(
  file: string,
): Promise<{ bootId: unknown; version: unknown; accelerator: Accelerator } | null> {
  try {
    const answer: unknown = JSON.parse(await readFile(file, 'utf8'))
    if (typeof answer !== 'object' || answer === null) return null
    const { bootId, version, accelerator } = answer as Record<string, unknown>
    return accelerator === 'kvm' || accelerator === 'tcg' ? { bootId, version, accelerator } : null
  } catch {
    // Absent or half-written by a boot that ended: probed anew.
    return null
  }
}
