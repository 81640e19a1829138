import type { ImageReference, RegistryToken } from '../set/set-driver.ts'

/** An image as a driver starts VMs from it. */
export type VmImage =
  /** `sizeBytes`: of the disk that the guest sees. */
  | {
      readonly kind: 'disk'
      readonly path: string
      readonly format: 'qcow2'
      readonly sizeBytes: number
    }
  | { readonly kind: 'kernel'; readonly kernelPath: string; readonly initrdPath: string | null }

/**
 * The images of a host, shared by its VMs. What it hands out has been checked: a qcow2 has no backing file and no external
 * data file, sizes are sane. Files are never changed while a VM may use them, and every account of the host may read them
 * by their full paths (folders 0711, files 0444: a path holds the digest, so it is known to whom the image was given).
 */
export interface VmImages {
  /** As `VmDriver.ensureImage`. */
  ensure(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void,
  ): Promise<void>

  /** Where the image lies. IMAGE_PULL_FAILED if the host does not have it (any more), or has it damaged. */
  open(image: ImageReference): Promise<VmImage>
}
