//! Makes what a worker starts from: the JavaScript engine as machine code for this target, and the memory of an isolate in which
//! the prelude has run. The engine is C (QuickJS-ng, whose source the package `rquickjs-sys` carries), compiled to WebAssembly and
//! then, with Cranelift, to machine code: here and never in the product, which has no compiler in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use wasmtime::error::Context;
use wasmtime::{Caller, Engine, Extern, Linker, Module, Result, Store, bail, ensure};

#[path = "src/shape.rs"]
mod shape;

/// The engine's own files; the rest of the package belongs to its native build.
const ENGINE_SOURCES: &[&str] = &["quickjs", "libregexp", "libunicode", "dtoa"];

/// What runs before an app's own code, in this order.
const PRELUDE: &[&str] = &["prelude/modules.js", "prelude/crypto.js", "prelude/prelude.js"];

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for input in ["build.rs", "engine", "prelude", "src/shape.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    println!("cargo::rerun-if-env-changed=PORTCULLIS_ENGINE_WASM");
    let wasm = match env::var_os("PORTCULLIS_ENGINE_WASM") {
        Some(prebuilt) => {
            fs::read(&prebuilt).with_context(|| format!("PORTCULLIS_ENGINE_WASM={}", prebuilt.display()))?
        }
        None => build_engine(&out)?,
    };
    let mut config = shape::config();
    // Nothing about the machine that builds may be assumed of the machine that runs.
    config.target(&env::var("TARGET")?)?;
    if env::var("CARGO_CFG_TARGET_ARCH")? == "x86_64" {
        for feature in ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt"] {
            // SAFETY: the settings are known to Cranelift, and a machine without them refuses to load the result.
            unsafe { config.cranelift_flag_enable(feature) };
        }
    }
    let engine = Engine::new(&config)?;
    let code = engine.precompile_module(&without_data(&wasm)?)?;
    // SAFETY: `code` was made by this very engine a line above.
    let module = unsafe { Module::deserialize(&engine, &code)? };
    let image = image(&engine, &module, &wasm)?;
    fs::write(out.join("engine.cwasm"), code)?;
    fs::write(out.join("base.image"), image)?;
    Ok(())
}

// ---- C to WebAssembly

fn build_engine(out: &Path) -> Result<Vec<u8>> {
    let package = source_of("rquickjs-sys")?;
    let source = package.join("quickjs");
    let libc = package.join("vendor/wasi-libc");
    let mut units: Vec<(PathBuf, PathBuf)> =
        ENGINE_SOURCES.iter().map(|name| (source.join(format!("{name}.c")), out.join(format!("{name}.o")))).collect();
    units.push((package.join("wasm-shim/shim.c"), out.join("libc-shim.o")));
    units.push((PathBuf::from("engine/shim.c"), out.join("shim.o")));
    let mut running = Vec::new();
    for (unit, object) in &units {
        let mut clang = Command::new(env::var_os("CLANG").unwrap_or_else(|| "clang".into()));
        clang.args(["--target=wasm32-unknown-unknown", "-O3", "-D_GNU_SOURCE", "-DNDEBUG", "-DEMSCRIPTEN=1"]);
        // Rounding modes that WebAssembly does not have.
        clang.args(["-DFE_DOWNWARD=0", "-DFE_UPWARD=0", "-Wno-everything"]);
        clang.arg("-isystem").arg(libc.join("include")).arg("-I").arg(&source);
        clang.arg("-c").arg(unit).arg("-o").arg(object);
        running.push((unit, clang.spawn().context(
            "cannot run clang, which builds the JavaScript engine: install it, name it in CLANG, or name a built engine in PORTCULLIS_ENGINE_WASM",
        )?));
    }
    for (unit, mut clang) in running {
        ensure!(clang.wait()?.success(), "clang failed on {}", unit.display());
    }
    let wasm = out.join("engine.wasm");
    let mut link = Command::new(linker()?);
    link.args(["-flavor", "wasm", "--no-entry", "--stack-first", "-z", "stack-size=1048576", "--strip-debug"]);
    link.arg("--export=__wasm_call_ctors").arg("-o").arg(&wasm);
    link.args(units.iter().map(|(_, object)| object)).arg(libc.join("lib/libc.a"));
    ensure!(
        link.status().context("cannot run the linker that comes with Rust")?.success(),
        "linking the engine failed"
    );
    Ok(fs::read(wasm)?)
}

/// The linker that comes with Rust; Debian's of the same name is too old for this.
fn linker() -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let root = String::from_utf8(Command::new(rustc).args(["--print", "sysroot"]).output()?.stdout)?;
    Ok(Path::new(root.trim()).join("lib/rustlib").join(env::var("HOST")?).join("bin/rust-lld"))
}

fn source_of(package: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(["metadata", "--format-version", "1", "--locked"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|found| found["name"] == package))
        .and_then(|found| found["manifest_path"].as_str())
        .with_context(|| format!("{package} is not among the packages of this workspace"))?;
    Ok(Path::new(manifest).parent().context("a manifest lies in a folder")?.to_owned())
}

// ---- WebAssembly to an image

/// The module without what initialises its memory: memory always comes from an image.
fn without_data(wasm: &[u8]) -> Result<Vec<u8>> {
    const CUSTOM: u8 = 0;
    const DATA: u8 = 11;
    const DATA_COUNT: u8 = 12;
    let mut out = wasm.get(..8).context("not a WebAssembly module")?.to_vec();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let Some((id, range)) = payload?.as_section() else { continue };
        if [CUSTOM, DATA, DATA_COUNT].contains(&id) {
            continue;
        }
        out.push(id);
        let mut length = range.len();
        while length >= 0x80 {
            out.push(u8::try_from(length & 0x7f)? | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length)?);
        out.extend_from_slice(&wasm[range]);
    }
    Ok(out)
}

/// Memory after the engine has started and the prelude has run.
fn image(engine: &Engine, module: &Module, wasm: &[u8]) -> Result<Vec<u8>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "send", |mut caller: Caller<'_, ()>, at: u32, length: u32| {
        if let Some(Extern::Memory(memory)) = caller.get_export("memory") {
            let said = memory.data(&caller).get(at as usize..(at + length) as usize).unwrap_or_default();
            println!("cargo::warning=the prelude said: {}", String::from_utf8_lossy(said).replace('\n', " | "));
        }
    })?;
    linker.func_wrap("host", "ask", |_: u32, _: u32| 0u32)?;
    linker.func_wrap("host", "take", |_: u32| ())?;
    linker.func_wrap("env", "__rquickjs_host_now_us", || 0f64)?;
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(1);
    let instance = linker.instantiate(&mut store, module)?;
    let memory = instance.get_memory(&mut store, "memory").context("the engine exports its memory")?;
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let wasmparser::Payload::DataSection(segments) = payload? else { continue };
        for segment in segments {
            let segment = segment?;
            let wasmparser::DataKind::Active { offset_expr, .. } = segment.kind else {
                bail!("a passive data segment")
            };
            let wasmparser::Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else {
                bail!("a data segment at a place that is not constant")
            };
            memory.write(&mut store, usize::try_from(value)?, segment.data)?;
        }
    }
    instance.get_typed_func::<(), ()>(&mut store, "__wasm_call_ctors")?.call(&mut store, ())?;
    let start = instance.get_typed_func::<(), i32>(&mut store, "sandbox_start")?;
    ensure!(start.call(&mut store, ())? == 0, "the engine does not start");
    let room = instance.get_typed_func::<u32, u32>(&mut store, "sandbox_room")?;
    let run = instance.get_typed_func::<(u32, u32, u32), i32>(&mut store, "sandbox_run")?;
    for name in PRELUDE {
        let text = fs::read(name).with_context(|| (*name).to_owned())?;
        let (name_length, text_length) = (u32::try_from(name.len())?, u32::try_from(text.len())?);
        let at = room.call(&mut store, name_length + text_length + 1)?;
        let both = [name.as_bytes(), b"\0", &text, b"\0"].concat();
        memory.write(&mut store, at as usize, &both)?;
        ensure!(run.call(&mut store, (at, name_length, text_length))? == 0, "{name} failed");
    }
    Ok(memory.data(&store).to_vec())
}
