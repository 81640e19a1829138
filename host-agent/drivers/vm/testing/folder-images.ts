import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { PlatformError } from '@nubo/base'
import type { ImageReference, RegistryToken } from '../../set/set-driver.ts'
import type { VmImage, VmImages } from '../vm-images.ts'

/** Images as files of a folder, fetched from files of another. */
export class FolderImages implements VmImages {
  readonly #folder: string
  readonly #sources = new Map<
    string,
    { readonly file: string; readonly sizeBytes: number | null }
  >()

  constructor(folder: string) {
    this.#folder = folder
  }

  /** What a registry would have: a qcow2 with a disk of this size, or a kernel (null). */
  offer(digest: string, file: string, sizeBytes: number | null): void {
    this.#sources.set(digest, { file, sizeBytes })
  }

  /** As if somebody had cleaned the cache. */
  async drop({ digest }: ImageReference): Promise<void> {
    await rm(this.#fileOf(digest), { force: true })
  }

  async ensure(
    { digest }: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void,
  ): Promise<void> {
    const file = this.#fileOf(digest)
    if (await isThere(file)) return
    await auth()
    onProgress('asking the registry')
    const source = this.#sources.get(digest)
    if (source === undefined)
      throw new PlatformError('IMAGE_PULL_FAILED', { digest }, { message: 'no such image' })
    await mkdir(this.#folder, { recursive: true, mode: 0o711 })
    await copyFile(source.file, `${file}.new`)
    await rename(`${file}.new`, file)
  }

  async open({ digest }: ImageReference): Promise<VmImage> {
    const file = this.#fileOf(digest)
    const source = this.#sources.get(digest)
    if (source === undefined || !(await isThere(file))) {
      throw new PlatformError(
        'IMAGE_PULL_FAILED',
        { digest },
        { message: 'the host does not have the image' },
      )
    }
    const { sizeBytes } = source
    if (sizeBytes === null) return { kind: 'kernel', kernelPath: file, initrdPath: null }
    return { kind: 'disk', path: file, format: 'qcow2', sizeBytes }
  }

  #fileOf(digest: string): string {
    return path.join(this.#folder, digest.slice('sha256:'.length))
  }
}

async function isThere(file: string): Promise<boolean> {
  return await stat(file).then(
    () => true,
    () => false,
  )
}
