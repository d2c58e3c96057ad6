// Package tracing has what tracing programs run on where there is no kernel: events, whose contexts are registers, the fields of a
// tracepoint or arguments, and an image of the memory that they point into.
//
//	image := tracing.NewImage(machine.Space())
//	err := image.AddJSON(text, program.Types)
//	hook, err := tracing.NewHook(machine.Space(), program.Type, tracing.X86)
//	for ev, err := range tracing.Events(file) {
//		hook.Set(machine.CPU(0).Env, ev, image)
//		engine.Run(hook.Ctx())
//	}
package tracing
