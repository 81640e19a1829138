import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { PlatformError } from '@nubo/base'
import { isDockerError, type DockerClient } from '@nubo/wire-docker'
import { pack } from 'tar-stream'
import { engineError } from './engine-errors.ts'

/** Statically linked, so that it runs with nothing else in the image. */
const BUSYBOX_PATH = '/bin/busybox'

/** What the pause container does: hold its namespaces open, doing nothing. */
export const PAUSE_COMMAND: readonly string[] = ['/busybox', 'sleep', 'infinity']

/** The image of pause containers: one program. Equal programs give equal images, byte for byte, on every host. */
export interface PauseImage {
  /** Digest of the configuration: the id that the engine gives it. */
  readonly id: string
  /** Keeps the engine's clean-up from taking the image for a leftover. */
  readonly tag: string
  /** A docker-save archive of it. */
  archive(): Promise<Buffer>
}

/** The pause image in one engine. */
export class PauseImageLoader {
  readonly #docker: DockerClient
  readonly #busyboxPath: string
  #image: Promise<PauseImage> | null = null

  constructor(docker: DockerClient, busyboxPath: string = BUSYBOX_PATH) {
    this.#docker = docker
    this.#busyboxPath = busyboxPath
  }

  /** The id that the engine has it under, once it is loaded. */
  async id(): Promise<string> {
    return (await this.#build()).id
  }

  /** Loads the image unless the engine has it. Idempotent. */
  async load(): Promise<void> {
    const image = await this.#build()
    try {
      await this.#docker.images.inspect(image.id)
    } catch (error) {
      if (!isDockerError(error, 'not_found'))
        throw engineError(error, 'look for the pause image', 'SETUP_FAILED')
      await this.#docker.images
        .load(Readable.from([await image.archive()]))
        .catch((cause: unknown) => {
          throw engineError(cause, 'load the pause image', 'SETUP_FAILED')
        })
    }
  }

  async #build(): Promise<PauseImage> {
    this.#image ??= buildPauseImage(this.#busyboxPath)
    try {
      return await this.#image
    } catch (error) {
      // The program may be installed by the next time.
      this.#image = null
      throw error
    }
  }
}

/** Builds the image in memory. Rejects with SETUP_FAILED if the program is not there. */
export async function buildPauseImage(busyboxPath: string = BUSYBOX_PATH): Promise<PauseImage> {
  const program = await readFile(busyboxPath).catch((cause: unknown) => {
    throw new PlatformError(
      'SETUP_FAILED',
      { file: busyboxPath, next: 'install busybox-static' },
      { message: `cannot read ${busyboxPath}, which pause containers are made of`, cause },
    )
  })
  const layer = await tarOf([{ name: 'busybox', mode: 0o755, content: program }])
  const config = Buffer.from(
    JSON.stringify({
      architecture: architectureOf(program),
      os: 'linux',
      created: '1970-01-01T00:00:00Z',
      config: { User: '65534:65534', Cmd: PAUSE_COMMAND },
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
      history: [{ created: '1970-01-01T00:00:00Z' }],
    }),
  )
  const id = digestOf(config)
  const tag = `nubo-pause:${id.slice('sha256:'.length, 'sha256:'.length + 12)}`
  return {
    id,
    tag,
    archive: async () =>
      await tarOf([
        { name: 'config.json', mode: 0o644, content: config },
        { name: 'layer.tar', mode: 0o644, content: layer },
        {
          name: 'manifest.json',
          mode: 0o644,
          content: Buffer.from(
            JSON.stringify([{ Config: 'config.json', RepoTags: [tag], Layers: ['layer.tar'] }]),
          ),
        },
      ]),
  }
}

/** The machine an ELF program is for (e_machine, bytes 18 and 19), in the words of image configurations. */
function architectureOf(program: Buffer): string {
  const isElf = program.length > 20 && program.readUInt32BE(0) === 0x7f454c46
  if (!isElf)
    throw new PlatformError('SETUP_FAILED', {}, { message: 'busybox is not an ELF program' })
  const machine = program.readUInt16LE(18)
  switch (machine) {
    case 0x3e:
      return 'amd64'
    case 0xb7:
      return 'arm64'
    case 0xf3:
      return 'riscv64'
    default:
      throw new PlatformError(
        'SETUP_FAILED',
        { machine },
        { message: 'busybox is for an unknown machine' },
      )
  }
}

/** Times and owners are fixed, so that equal content gives equal bytes. */
async function tarOf(
  files: readonly { readonly name: string; readonly mode: number; readonly content: Buffer }[],
): Promise<Buffer> {
  const tar = pack()
  for (const { name, mode, content } of files) {
    tar.entry({ name, mode, mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' }, content)
  }
  tar.finalize()
  return await buffer(Readable.from(tar))
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
