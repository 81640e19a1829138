import { beta } from '@nubo/wire-beta' // breaks: direction
import { z } from 'zod' // breaks: wire-alone, library
export const encode = () => z(beta)
