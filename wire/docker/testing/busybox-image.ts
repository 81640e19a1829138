import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { packTar, type TarFile } from './tar.ts'

/** Where Debian's busybox-static puts the program that all test images are made of. */
const BUSYBOX_PATH = '/bin/busybox'

/** The programs that tests call; all of them are the one binary. */
const APPLETS = [
  'sh', 'cat', 'echo', 'env', 'false', 'head', 'hostname', 'id', 'ip', 'kill', 'ls', 'ping', 'printf', 'ps',
  'sleep', 'stty', 'true', 'wget', 'httpd', 'dd', 'df', 'nc', 'seq', 'wc', 'mkdir', 'touch', 'yes',
] // prettier-ignore

/** A one-layer image in its three parts, for an engine (`saved`) or a registry (`config`, `layer`, `manifest`). */
export interface TestImage {
  /** Digest of `config`: what the engine calls the image's id. */
  readonly id: string
  readonly config: Buffer
  /** Uncompressed tar. */
  readonly layer: Buffer
  /** Docker schema 2 manifest of the two. */
  readonly manifest: Buffer
  /** Digest of `manifest`: what one pulls by. */
  readonly digest: string
  /** As `docker save` would write it, tagged with `tag`. */
  saved(tag: string): Buffer
}

/** BusyBox with a shell and the usual programs; `extraFiles` make it another image. */
export async function busyboxImage(extraFiles: readonly TarFile[] = []): Promise<TestImage> {
  const busybox = await readFile(BUSYBOX_PATH)
  const directories = ['bin/', 'etc/', 'tmp/', 'proc/', 'sys/', 'dev/', 'root/']
  return imageOf([
    ...directories.map((path) => ({ path })),
    { path: 'bin/busybox', mode: 0o755, content: busybox },
    ...APPLETS.map((name) => ({ path: `bin/${name}`, mode: 0o777, linkTo: 'busybox' })),
    { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\n' },
    ...extraFiles,
  ])
}

function imageOf(files: readonly TarFile[]): TestImage {
  const layer = packTar(files)
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      created: '1970-01-01T00:00:00Z',
      config: { Env: ['PATH=/bin'], Cmd: ['sh'] },
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
      history: [{ created: '1970-01-01T00:00:00Z' }],
    }),
  )
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      config: {
        mediaType: 'application/vnd.docker.container.image.v1+json',
        size: config.length,
        digest: digestOf(config),
      },
      layers: [
        {
          mediaType: 'application/vnd.docker.image.rootfs.diff.tar',
          size: layer.length,
          digest: digestOf(layer),
        },
      ],
    }),
  )
  return {
    id: digestOf(config),
    config,
    layer,
    manifest,
    digest: digestOf(manifest),
    saved: (tag) =>
      packTar([
        { path: 'config.json', content: config },
        { path: 'layer.tar', content: layer },
        {
          path: 'manifest.json',
          content: JSON.stringify([
            { Config: 'config.json', RepoTags: [tag], Layers: ['layer.tar'] },
          ]),
        },
      ]),
  }
}

/** `sha256:…` of bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
