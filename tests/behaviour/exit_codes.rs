//! The exit code tells the truth, and the command is found as execvp(3) finds it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use crate::support::{
    Finished, Init, Mode, NONE, Outcome, TemporaryFolder, Test, both_modes, fixture, fixtures, init_under_test,
};

pub fn tests() -> Vec<Test> {
    both_modes![
        the_exit_code_is_the_commands_own,
        death_by_any_signal_is_128_plus_its_number,
        a_command_that_does_not_exist_is_127_and_one_line,
        a_file_that_is_not_executable_is_126_and_one_line,
        a_script_without_a_first_line_is_run_by_the_shell,
        a_script_whose_interpreter_is_missing_is_126_and_one_line_that_says_so,
        arguments_of_any_bytes_arrive_as_they_are,
        the_path_is_searched_as_execvp_does,
        without_a_path_the_usual_folders_are_searched,
    ]
}

fn the_exit_code_is_the_commands_own(mode: Mode) -> Outcome {
    for code in [0, 1, 2, 3, 42, 124, 125, 126, 127, 128, 143, 255] {
        Init::new(mode).command(fixture("exit", [code.to_string()])).run().check_code(code).check_silent();
    }
    Ok(())
}

fn death_by_any_signal_is_128_plus_its_number(mode: Mode) -> Outcome {
    let harmless = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
    let stopping = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    for signal in (1..=64).filter(|n| !harmless.contains(n) && !stopping.contains(n)) {
        Init::new(mode).command(fixture("die-by", [signal.to_string()])).run().check_code(128 + signal);
    }
    Ok(())
}

fn a_command_that_does_not_exist_is_127_and_one_line(mode: Mode) -> Outcome {
    for name in ["/no/such/program", "no-such-program-anywhere", ""] {
        // A folder of PATH that may not be searched would make it 126, as execvp(3) has it.
        let finished = Init::new(mode).env("PATH", "/usr/bin:/bin").command([name]).run();
        finished.check_code(127);
        check_one_line(&finished, name);
    }
    Ok(())
}

fn a_file_that_is_not_executable_is_126_and_one_line(mode: Mode) -> Outcome {
    let folder = TemporaryFolder::new();
    let plain = folder.path().join("plain");
    fs::write(&plain, "exit 0\n")?;
    for path in [plain.as_path(), folder.path()] {
        let finished = Init::new(mode).command([path]).run();
        finished.check_code(126);
        check_one_line(&finished, &path.to_string_lossy());
    }
    Ok(())
}

fn a_script_without_a_first_line_is_run_by_the_shell(mode: Mode) -> Outcome {
    let folder = TemporaryFolder::new();
    let script = folder.script("script", "echo \"name $0 arguments $# $1\"\nexit 7\n");
    let words = [script.as_os_str(), OsStr::new("a b"), OsStr::new("c")];
    let finished = Init::new(mode).command(words).run();
    finished.check_code(7).check_silent().check_stdout_has(&format!("name {} arguments 2 a b", script.display()));
    let finished = Init::new(mode).env("PATH", folder.path()).command(["script"]).run();
    finished.check_code(7).check_silent().check_stdout_has("arguments 0");
    // A name that begins with a dash is no option of the shell.
    folder.script("-dash", "exit 8\n");
    Init::new(mode).env("PATH", folder.path()).command(["-dash"]).run().check_code(8);
    Ok(())
}

fn a_script_whose_interpreter_is_missing_is_126_and_one_line_that_says_so(mode: Mode) -> Outcome {
    let folder = TemporaryFolder::new();
    let script = folder.script("script", "#!/no/such/interpreter\n");
    let finished = Init::new(mode).command([&script]).run();
    // execve(2) says ENOENT, as for a file that is not there. But it is there: bash says 126 as well.
    finished.check_code(126);
    finished.check_stderr_has(&["interpreter"]);
    check_one_line(&finished, &script.to_string_lossy());
    Ok(())
}

fn arguments_of_any_bytes_arrive_as_they_are(mode: Mode) -> Outcome {
    let odd: [&[u8]; 7] = [b"\xff\xfe\x80", b"", b" ", b"a\nb", b"--grace", b"-h", b"\xc3\xa4 \x1b[0m"];
    let odd = odd.map(OsStr::from_bytes);
    let mut words: Vec<OsString> = fixture("arguments", NONE);
    words.extend(odd.iter().map(|word| OsString::from(*word)));
    let finished = Init::new(mode).command(words).run();
    finished.check_code(0);
    let wanted: Vec<_> = odd.iter().map(|word| format!("argument {}", fixtures::hex(word))).collect();
    assert_eq!(finished.stdout, wanted);
    Ok(())
}

fn the_path_is_searched_as_execvp_does(mode: Mode) -> Outcome {
    let folder = TemporaryFolder::new();
    let sub = |name: &str| folder.path().join(name);
    for name in ["first", "second", "plain", "here"] {
        fs::create_dir(sub(name))?;
    }
    folder.script("first/tool", "#!/bin/sh\nexit 11\n");
    folder.script("second/tool", "#!/bin/sh\nexit 12\n");
    folder.script("second/only-second", "#!/bin/sh\nexit 13\n");
    folder.script("here/local", "#!/bin/sh\nexit 14\n");
    folder.script("here/tool", "#!/bin/sh\nexit 15\n");
    for name in ["tool", "plain-only"] {
        let file = sub("plain").join(name);
        fs::write(&file, "#!/bin/sh\nexit 16\n")?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    }
    fs::write(sub("file"), "")?;
    let path = |folders: &[&str]| {
        let parts: Vec<_> = folders
            .iter()
            .map(|name| if name.is_empty() { String::new() } else { sub(name).display().to_string() })
            .collect();
        parts.join(":")
    };
    // PATH, command, exit code, why
    let cases: [(&[&str], &str, i32, &str); 12] = [
        (&["first", "second"], "tool", 11, "the first one found counts"),
        (&["second", "first"], "tool", 12, "in the order of PATH"),
        (&["missing", "second"], "tool", 12, "a missing folder is passed over"),
        (&["file", "second"], "tool", 12, "so is a part that is a file"),
        (&["plain", "second"], "tool", 12, "so is a file without execute permission"),
        (&["plain", "missing"], "plain-only", 126, "but it is remembered when nothing better follows"),
        (&["missing"], "tool", 127, "nothing was found"),
        (&["first"], "only-second", 127, "a folder that is not in PATH is not searched"),
        (&["", "first"], "local", 14, "an empty part is the current directory"),
        (&["first", ""], "local", 14, "also at the end"),
        (&["first"], "./tool", 15, "a name with a slash is not searched"),
        (&["first"], "second/tool", 127, "nor relative to PATH"),
    ];
    for (folders, name, code, why) in cases {
        let finished = Init::new(mode).current_dir(sub("here")).env("PATH", path(folders)).command([name]).run();
        assert!(finished.code == code, "{why}: {code} expected for {name} in {folders:?}: {finished:#?}");
    }
    Ok(())
}

fn without_a_path_the_usual_folders_are_searched(mode: Mode) -> Outcome {
    Init::new(mode).wrapper(["/usr/bin/env", "-u", "PATH"]).command(["sh", "-c", "exit 9"]).run().check_code(9);
    Ok(())
}

fn check_one_line(finished: &Finished, name: &str) {
    assert!(finished.stderr.len() == 1, "one line expected for {name:?}: {finished:#?}");
    let line = &finished.stderr[0];
    assert!(line.starts_with("graceinit: ") && line.contains(name), "{name:?} is not named: {finished:#?}");
    assert!(finished.stdout.is_empty() && init_under_test().is_absolute(), "{finished:#?}");
}
