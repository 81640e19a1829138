import { Client } from 'pg' // breaks: library
export const openStore = (settings: unknown) => new Client(settings)
