import { createHash } from 'node:crypto'

/** Tar archives by hand (POSIX ustar, one header of 512 bytes per entry), so that they can also be wrong. */
export interface TarEntry {
  readonly name: string
  readonly content?: string | Uint8Array
  /** '0' file, '1' hard link, '2' symbolic link, '5' folder. */
  readonly type?: '0' | '1' | '2' | '5'
  readonly linkName?: string
  /** What the header says; the content's own length when absent. */
  readonly sizeBytes?: number
}

const BLOCK_BYTES = 512

export function tarOf(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? '')
    const padding = Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES)
    return [header(entry, content.length), content, padding]
  })
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)])
}

function header(entry: TarEntry, contentBytes: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(entry.name, 0, 100)
  block.write('0000755\0', 100)
  block.write('0000000\0', 108)
  block.write('0000000\0', 116)
  writeSize(block, entry.sizeBytes ?? contentBytes)
  block.write('00000000000\0', 136)
  block.write(' '.repeat(8), 148)
  block.write(entry.type ?? '0', 156)
  block.write(entry.linkName ?? '', 157, 100)
  block.write('ustar\u000000', 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

/** Octal up to 8 GiB; beyond that GNU's base 256. */
function writeSize(block: Buffer, sizeBytes: number): void {
  if (sizeBytes < 8 ** 11) {
    block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124)
    return
  }
  block[124] = 0x80
  block.writeBigUInt64BE(BigInt(sizeBytes), 128)
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** A root file system of a few files. */
export const rootfsTar = (mark = 'nubo'): Buffer =>
  tarOf([
    { name: 'bin/', type: '5' },
    { name: 'bin/busybox', content: `#!${mark}` },
    { name: 'bin/sh', type: '2', linkName: '/bin/busybox' },
    { name: 'bin/ls', type: '1', linkName: 'bin/busybox' },
    { name: 'etc/hostname', content: 'guest\n' },
  ])

/** What `docker save` of Docker 20.10 writes: a config, layers in folders, manifest.json. */
export function dockerArchive(layers: readonly Uint8Array[]): Buffer {
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Entrypoint: ['/bin/entry'], Cmd: ['serve'], Env: ['A=1'] },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
  })
  const configName = `${sha256(config)}.json`
  const names = layers.map((layer) => `${sha256(layer)}/layer.tar`)
  return tarOf([
    { name: configName, content: config },
    ...layers.map((content, at): TarEntry => ({ name: names[at] ?? '', content })),
    {
      name: 'manifest.json',
      content: JSON.stringify([{ Config: configName, RepoTags: ['web:1'], Layers: names }]),
    },
  ])
}

/** An OCI image layout (image-spec, image-layout.md) with one linux/amd64 image. */
export function ociLayout(
  layers: readonly Uint8Array[],
  change: { layerDigests?: readonly string[] } = {},
): Buffer {
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['/bin/oci'] },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
  })
  const digests = change.layerDigests ?? layers.map(sha256)
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: `sha256:${sha256(config)}`,
      size: config.length,
    },
    layers: layers.map((layer, at) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest: `sha256:${digests[at] ?? ''}`,
      size: layer.length,
    })),
  })
  const index = JSON.stringify({
    schemaVersion: 2,
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: `sha256:${sha256(manifest)}`,
        size: manifest.length,
        platform: { architecture: 'amd64', os: 'linux' },
      },
    ],
  })
  return tarOf([
    { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
    { name: 'index.json', content: index },
    { name: `blobs/sha256/${sha256(manifest)}`, content: manifest },
    { name: `blobs/sha256/${sha256(config)}`, content: config },
    ...layers.map((content, at): TarEntry => ({
      name: `blobs/sha256/${digests[at] ?? ''}`,
      content,
    })),
  ])
}
