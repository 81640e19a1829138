import { isPlatformError } from '@nubo/base'
import { z } from 'zod'
import {
  broken,
  digestOf,
  extractTo,
  gunzipFile,
  isGzip,
  LAYERS_MAX,
  readJson,
  tooLarge,
  UNPACKED_BYTES_MAX,
  walkTar,
  type StoredBlob,
} from './archive.ts'
import { isKernelArchive, isTop, unpackKernel } from './kernel-archive.ts'
import type { UnpackedVm } from './vm-artifact.ts'

/** What an archive turned out to be that holds containers, ready to be put into a registry. */
export interface UnpackedImage {
  readonly source: 'rootfs' | 'docker-archive' | 'oci-layout'
  /** Uncompressed tars, base first. */
  readonly layers: readonly StoredBlob[]
  /** Image configuration (OCI image-spec, config.md). */
  readonly config: ImageConfig
}

const strings = z.array(z.string().max(32_768)).max(1_024)
const imageConfig = z.looseObject({
  architecture: z.string().max(64).default('amd64'),
  os: z.string().max(64).default('linux'),
  config: z
    .looseObject({
      Cmd: strings.nullish(),
      Entrypoint: strings.nullish(),
      Env: strings.nullish(),
      WorkingDir: z.string().max(4_096).nullish(),
      User: z.string().max(256).nullish(),
      StopSignal: z.string().max(32).nullish(),
    })
    .nullish(),
})
export type ImageConfig = z.infer<typeof imageConfig>

const dockerManifest = z
  .array(
    z.looseObject({
      Config: z.string().max(512),
      Layers: z.array(z.string().max(512)).max(LAYERS_MAX),
    }),
  )
  .min(1)
const descriptor = z.looseObject({
  mediaType: z.string().max(200),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  platform: z.looseObject({ architecture: z.string(), os: z.string() }).optional(),
})
const ociIndex = z.looseObject({ manifests: z.array(descriptor).min(1).max(64) })
const ociManifest = z.looseObject({
  config: descriptor,
  layers: z.array(descriptor).min(1).max(LAYERS_MAX),
})

function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
): z.infer<Schema> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw broken(`${what} is malformed: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`)
}

/**
 * Finds out what the archive is by looking, checks it all through, and leaves its layers as files in `folder`.
 * IMAGE_BROKEN, TOO_LARGE, HOST_DISK_FULL; whatever is left in the folder is the caller's to remove.
 */
export async function unpackArchive(
  path: string,
  folder: string,
  command: readonly string[],
  limitBytes = UNPACKED_BYTES_MAX,
): Promise<UnpackedImage | UnpackedVm> {
  const names = new Set<string>()
  await walkTar(path, (entry) => {
    // Only the top level tells the kinds apart; keeping every name of a large root file system would cost memory.
    const end = entry.name.indexOf('/')
    if (!isTop(entry.name)) names.add(end < 0 ? entry.name : entry.name.slice(0, end + 1))
    return Promise.resolve()
  })
  if (isKernelArchive(names)) return unpackKernel(path, folder)
  if (names.has('manifest.json') && !hasSystem(names))
    return unpackDockerArchive(path, folder, new Layers(limitBytes))
  if (names.has('oci-layout') && names.has('index.json'))
    return unpackOciLayout(path, folder, new Layers(limitBytes))
  return unpackRootfs(path, command)
}

function hasSystem(names: ReadonlySet<string>): boolean {
  return ['bin', 'etc', 'bin/', 'etc/'].some((name) => names.has(name))
}

async function unpackRootfs(path: string, command: readonly string[]): Promise<UnpackedImage> {
  const layer = await digestOf(path)
  const cmd = command.length === 0 ? ['/bin/sh'] : [...command]
  return {
    source: 'rootfs',
    layers: [layer],
    config: {
      architecture: 'amd64',
      os: 'linux',
      config: {
        Cmd: cmd,
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      },
    },
  }
}

/** `docker save`: manifest.json names a config and layer tars; a layer that repeats may be a symbolic link to the first. */
async function unpackDockerArchive(
  path: string,
  folder: string,
  checked: Layers,
): Promise<UnpackedImage> {
  let manifest: z.infer<typeof dockerManifest> | undefined
  await walkTar(path, async (entry, content) => {
    if (entry.name === 'manifest.json')
      manifest = parse(dockerManifest, await readJson(content, entry.name), entry.name)
  })
  const image = manifest?.[0]
  if (image === undefined) throw broken('manifest.json names no image.')
  const wanted = new Set([...image.Layers, image.Config])
  const files = new Map<string, string>()
  const links = new Map<string, string>()
  let config: ImageConfig | undefined
  await walkTar(path, async (entry, content) => {
    if (
      !wanted.has(entry.name) &&
      !entry.name.endsWith('/layer.tar') &&
      !entry.name.startsWith('blobs/')
    )
      return
    if (entry.name === image.Config)
      config = parse(
        imageConfig,
        await readJson(content, 'the image configuration'),
        'The image configuration',
      )
    else if (entry.type === 'symlink' && entry.linkName !== null)
      links.set(entry.name, inFolderOf(entry.name, entry.linkName))
    else if (entry.type === 'file' && !files.has(entry.name))
      files.set(entry.name, await extractTo(content, folder, files.size))
  })
  if (config === undefined)
    throw broken(`The archive lacks the image configuration ${image.Config}.`)
  const layers: StoredBlob[] = []
  for (const name of image.Layers) {
    const file = files.get(links.get(name) ?? name)
    if (file === undefined) throw broken(`The archive lacks the layer ${name}.`)
    layers.push(await checked.layer(file))
  }
  return { source: 'docker-archive', layers, config }
}

/** '../other/layer.tar' beside 'id/layer.tar' is 'other/layer.tar'. */
function inFolderOf(name: string, link: string): string {
  const parts = name.split('/').slice(0, -1)
  for (const part of link.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.' && part !== '') parts.push(part)
  }
  return parts.join('/')
}

/** OCI image layout (image-spec, image-layout.md); of several platforms linux/amd64 is taken. */
async function unpackOciLayout(
  path: string,
  folder: string,
  checked: Layers,
): Promise<UnpackedImage> {
  const readBlobJson = async (digest: string, what: string): Promise<unknown> => {
    let value: unknown
    await walkTar(path, async (entry, content) => {
      if (entry.name === blobName(digest)) value = await readJson(content, what)
    })
    if (value === undefined) throw broken(`The layout lacks ${what} ${digest}.`)
    return value
  }
  let index: z.infer<typeof ociIndex> | undefined
  await walkTar(path, async (entry, content) => {
    if (entry.name === 'index.json')
      index = parse(ociIndex, await readJson(content, entry.name), entry.name)
  })
  if (index === undefined) throw broken('The layout has no index.json.')
  let chosen = chooseManifest(index)
  if (chosen.mediaType.includes('index') || chosen.mediaType.includes('manifest.list')) {
    chosen = chooseManifest(
      parse(ociIndex, await readBlobJson(chosen.digest, 'the index'), 'The nested index'),
    )
  }
  const manifest = parse(
    ociManifest,
    await readBlobJson(chosen.digest, 'the manifest'),
    'The manifest',
  )
  const config = parse(
    imageConfig,
    await readBlobJson(manifest.config.digest, 'the image configuration'),
    'The image configuration',
  )
  const files = new Map<string, string>()
  const wanted = new Map(manifest.layers.map((layer) => [blobName(layer.digest), layer.digest]))
  await walkTar(path, async (entry, content) => {
    const digest = wanted.get(entry.name)
    if (digest !== undefined && !files.has(digest))
      files.set(digest, await extractTo(content, folder, files.size))
  })
  const layers: StoredBlob[] = []
  for (const { digest } of manifest.layers) {
    const file = files.get(digest)
    if (file === undefined) throw broken(`The layout lacks the layer ${digest}.`)
    if (!checked.has(file) && (await digestOf(file)).digest !== digest)
      throw broken(`The layer ${digest} does not have this digest.`)
    layers.push(await checked.layer(file))
  }
  return { source: 'oci-layout', layers, config }
}

function blobName(digest: string): string {
  return `blobs/sha256/${digest.slice('sha256:'.length)}`
}

function chooseManifest(index: z.infer<typeof ociIndex>): z.infer<typeof descriptor> {
  const fitting = index.manifests.filter(
    (one) =>
      one.platform === undefined ||
      (one.platform.os === 'linux' && one.platform.architecture === 'amd64'),
  )
  const chosen = fitting[0]
  if (chosen === undefined) throw broken('The layout has no image for linux/amd64.')
  return chosen
}

/**
 * Layers are kept as plain tars, so that their digest is their diff id; every one is walked for path tricks. The limit is
 * for all together (many small bombs are a large one), and they are unpacked one at a time.
 */
class Layers {
  readonly #limitBytes: number
  /** A layer may be named several times; its file is unpacked in place, so only once. */
  readonly #known = new Map<string, StoredBlob>()
  #bytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  has(file: string): boolean {
    return this.#known.has(file)
  }

  async layer(file: string): Promise<StoredBlob> {
    const known = this.#known.get(file)
    if (known !== undefined) return known
    if (await isGzip(file)) {
      await gunzipFile(file, this.#limitBytes - this.#bytes).catch((error: unknown) => {
        throw isPlatformError(error, 'TOO_LARGE') ? tooLarge(this.#limitBytes) : error
      })
    }
    await walkTar(file, () => Promise.resolve())
    const layer = await digestOf(file)
    this.#bytes += layer.sizeBytes
    if (this.#bytes > this.#limitBytes) throw tooLarge(this.#limitBytes)
    this.#known.set(file, layer)
    return layer
  }
}
