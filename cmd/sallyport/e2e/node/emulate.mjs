// Runs emulate's GitHub with the seed in its one argument, JSON, on a free port
// of 127.0.0.1. Prints its URL and runs until standard input ends, so that it
// never outlives the test.
import { createEmulator } from 'emulate';

const emulator = await createEmulator({ service: 'github', port: 0, seed: JSON.parse(process.argv[2]) });
console.log(`http://127.0.0.1:${new URL(emulator.url).port}`);
process.stdin.resume().on('end', () => emulator.close().then(() => process.exit(0)));
