//! Servers with a request or a query in flight, as their images start them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::apps::{Place, need, need_root, postgres_folder};
use crate::row::{Row, row};
use crate::support::{Mode, Outcome, Test, both_modes, eventually};

const NGINX: &str = "user root; daemon off; pid {dir}/nginx.pid; error_log /dev/stderr notice; events {}
http {
    access_log off; client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;
    uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;
    server { listen unix:{dir}/socket; root {dir}; limit_rate 50k; }
}
";
const HAPROXY: &str = "defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend f
  bind unix@{dir}/socket
  http-request return status 200 content-type text/plain string hello
";
const APACHE: &str = "ServerRoot {dir}
ServerName localhost
PidFile {dir}/apache.pid
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
ErrorLog /dev/stderr
Mutex file:{dir}
Listen 127.0.0.1:{port}
";
const PHP_FPM: &str = "[global]
error_log = /dev/stderr
daemonize = no
[www]
listen = {dir}/socket
pm = static
pm.max_children = 2
";

pub(crate) fn rows() -> Vec<Row> {
    [web_servers(), databases_and_others()].concat()
}

pub(crate) fn tests() -> Vec<Test> {
    both_modes![
        nginx_told_to_quit_answers_the_request_in_flight,
        nginx_asked_with_quit_answers_the_request_in_flight,
        redis_saves_its_data,
        postgres_lets_the_running_query_and_its_session_finish,
    ]
}

fn web_servers() -> Vec<Row> {
    const GUNICORN: [&str; 5] = ["{bin}/gunicorn", "--bind", "unix:{dir}/socket", "--workers=2", "web:wsgi"];
    const GTHREAD: [&str; 6] =
        ["{bin}/gunicorn", "--bind", "unix:{dir}/socket", "--worker-class=gthread", "--threads=2", "web:wsgi"];
    let web = |row: Row| row.inside("{apps}").with_a_request();
    let npm = |row: Row| {
        let row = row.env("npm_config_cache", "{dir}/npm").env("npm_config_update_notifier", "false");
        row.inside("{apps}/node").ready("node ready").with_a_request().says([
            "node told 1",
            "request answered",
            "node clean",
        ])
    };
    vec![
        web(row("gunicorn_answers_the_request_in_flight", GUNICORN))
            .ready_on_stderr("Booting worker", 2)
            .code(0)
            .peers("ok; group INT: 500"),
        web(row("gunicorn_with_threads_answers_the_request_in_flight", GTHREAD))
            .ready_on_stderr("Booting worker", 1)
            .code(0)
            .peers("ok; group INT: 500"),
        web(row(
            "gunicorn_below_a_shell_answers_the_request_in_flight",
            ["sh", "-c", "{bin}/gunicorn --bind unix:{dir}/socket --workers=2 web:wsgi; exit $?"],
        ))
        .ready_on_stderr("Booting worker", 2)
        .code(0)
        .peers("main: lost, group: lost, as the init leaves with the shell"),
        web(row("gunicorn_on_fly_is_asked_with_int_and_answers_all_the_same", GUNICORN))
            .env("FLY_MACHINE_ID", "1")
            .ready_on_stderr("Booting worker", 2)
            .code(0)
            .only_int()
            .peers("500"),
        web(row("uvicorn_answers_the_request_in_flight", ["{bin}/uvicorn", "--uds", "{dir}/socket", "web:asgi"]))
            .ready_on_stderr("Uvicorn running", 1)
            .logs(["Application shutdown complete"])
            .code(143)
            .also_int_with_any_code()
            .peers("ok"),
        web(row(
            "two_uvicorn_workers_answer_the_request_in_flight",
            ["{bin}/uvicorn", "--uds", "{dir}/socket", "--workers=2", "web:asgi"],
        ))
        .ready_on_stderr("Application startup complete", 2)
        .code(0)
        .also_int()
        .peers("ok"),
        web(row(
            "waitress_answers_the_request_in_flight",
            ["{bin}/waitress-serve", "--unix-socket={dir}/socket", "web:wsgi"],
        ))
        .ready_on_stderr("Serving", 1)
        .code(0)
        .also_int()
        .peers("main: lost, group: lost"),
        web(row(
            "waitress_below_a_shell_answers_the_request_in_flight",
            ["sh", "-c", "{bin}/waitress-serve --unix-socket={dir}/socket web:wsgi; exit $?"],
        ))
        .ready_on_stderr("Serving", 1)
        .code(0)
        .peers("main: lost, group: lost"),
        npm(row("node_with_a_term_handler_answers_the_request_in_flight", ["node", "server.js"])).code(0).peers("ok"),
        npm(row("node_below_a_shell_answers_the_request_in_flight", ["sh", "-c", "node server.js; exit $?"]))
            .needs("node")
            .code(0)
            .peers("main: hang, group: lost, as the init leaves with the shell"),
        npm(row("npm_run_start_answers_the_request_in_flight", ["npm", "run", "start"]))
            .needs("node")
            .peers("main: hang, group: lost, as the init leaves with npm"),
    ]
}

fn databases_and_others() -> Vec<Row> {
    vec![
        row("nginx_stops", ["nginx", "-c", "{dir}/nginx.conf"])
            .file("nginx.conf", NGINX)
            .ready_on_stderr("start worker process ", 1)
            .code(0)
            .peers("ok"),
        row("memcached_stops", ["memcached", "-u", "root", "-vv", "-s", "{dir}/socket"])
            .ready_on_stderr("server listening", 1)
            .code(0)
            .also_int()
            .peers("ok"),
        row(
            "prometheus_stops",
            [
                "prometheus",
                "--config.file={dir}/prometheus.yml",
                "--storage.tsdb.path={dir}/data",
                "--web.listen-address=127.0.0.1:{port}",
            ],
        )
        .file("prometheus.yml", "global: {scrape_interval: 1h}\n")
        .ready_on_stderr("Server is ready to receive web requests", 1)
        .logs(["See you next time!"])
        .code(0)
        .only_as_pid_1()
        .peers("ok"),
        row("haproxy_stops", ["haproxy", "-W", "-f", "{dir}/haproxy.cfg"])
            .file("haproxy.cfg", HAPROXY)
            .ready_on_stderr("Loading success", 1)
            .ready_when_it_catches_term()
            .code(0)
            .only_as_pid_1()
            .peers("ok"),
        row("apache_stops", ["apache2", "-DFOREGROUND", "-f", "{dir}/apache.conf"])
            .file("apache.conf", APACHE)
            .ready_on_stderr("resuming normal operations", 1)
            .logs(["caught SIGTERM, shutting down"])
            .code(0)
            .only_as_pid_1()
            .peers("ok"),
        row("php_fpm_stops", ["{php-fpm}", "-F", "-R", "-y", "{dir}/php-fpm.conf"])
            .file("php-fpm.conf", PHP_FPM)
            .ready_on_stderr("ready to handle connections", 1)
            .logs(["exiting, bye-bye"])
            .code(0)
            .only_as_pid_1()
            .peers("ok"),
        row("a_jvm_runs_its_shutdown_hook", ["java", "-Xshare:auto", "{apps}/java/Hook.java"])
            .ready("java ready")
            .says(["hook ran"])
            .code(143)
            .only_as_pid_1()
            .also_int_with_any_code()
            .peers("ok"),
    ]
}

/// TERM is nginx's fast stop, which drops requests, whoever sends it.
fn nginx_told_to_quit_answers_the_request_in_flight(mode: Mode) -> Outcome {
    nginx_answers(mode, &["--signal", "QUIT"], libc::SIGTERM)
}

/// Its image has STOPSIGNAL QUIT: only passed on, it works as well.
fn nginx_asked_with_quit_answers_the_request_in_flight(mode: Mode) -> Outcome {
    nginx_answers(mode, &[], libc::SIGQUIT)?;
    nginx_answers(mode, &["--stop-on", "TERM,INT,QUIT"], libc::SIGQUIT)
}

fn nginx_answers(mode: Mode, options: &[&str], signal: i32) -> Outcome {
    let place = Place::new();
    place.write("nginx.conf", NGINX);
    place.write("page", &"x".repeat(100_000));
    let command = place.command(&["nginx", "-c", "{dir}/nginx.conf"]);
    let running = place.init(mode).options(["--grace", "20s"]).options(options).command(command).start();
    running.wait_for_stderr("start worker process ");
    let mut stream = eventually("nginx listens", || UnixStream::connect(place.socket()).ok());
    stream.write_all(b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = vec![0; 1000];
    stream.read_exact(&mut answer)?;
    running.signal(signal);
    stream.read_to_end(&mut answer)?;
    running.finish().check_code(0).check_stderr_lacks("SIGKILL to");
    assert!(answer.len() > 100_000, "only {} bytes of the page came", answer.len());
    Ok(())
}

fn redis_saves_its_data(mode: Mode) -> Outcome {
    let place = Place::new();
    let words = [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        "{dir}/redis.socket",
        "--dir",
        "{dir}",
        "--save",
        "3600 1000000",
    ];
    let running = place.init(mode).options(["--grace", "20s"]).command(place.command(&words)).start();
    running.wait_for("ready to accept connections");
    place.ask_redis("SET kept yes");
    running.signal(libc::SIGTERM);
    running.finish().check_code(0).check_stdout_has("DB saved on disk").check_stderr_lacks("SIGKILL to");
    assert!(place.path("dump.rdb").exists(), "the data was not saved");
    Ok(())
}

/// TERM is PostgreSQL's smart stop: no new sessions, the open ones are served to their end. Its children ignore some of the
/// signals on purpose, and each lives in a session of its own.
fn postgres_lets_the_running_query_and_its_session_finish(mode: Mode) -> Outcome {
    need_root();
    let folder = postgres_folder();
    let program = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let place = Place::new();
    let as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let initdb = [program("initdb"), "--no-sync".into(), "--auth=trust".into(), "--username=postgres".into()];
    let words: Vec<_> =
        as_user.into_iter().chain(initdb.iter().map(String::as_str)).chain(["--pgdata={dir}/data"]).collect();
    let (made, said) = place.run_beside(&words);
    assert!(made, "initdb: {said}");
    let postgres = program("postgres");
    let words: Vec<_> = as_user
        .into_iter()
        .chain([postgres.as_str(), "-D", "{dir}/data", "-k", "{dir}", "-c", "listen_addresses=", "-c", "fsync=off"])
        .collect();
    let running = place.init(mode).options(["--grace", "20s"]).command(place.command(&words)).start();
    running.wait_for_stderr("database system is ready to accept connections");
    need("psql");
    let query = "do $$ begin raise notice 'query runs'; while pg_stat_file('{dir}/asked', true) is null loop perform pg_sleep(0.02); end loop; perform pg_sleep(0.8); raise notice 'query done'; end $$";
    let session = place.start_beside(&[
        "psql",
        "-h",
        "{dir}",
        "-U",
        "postgres",
        "-c",
        query,
        "-c",
        "select 'session ' || 'lives'",
    ]);
    eventually("the query runs", || {
        let asked = "select count(*) from pg_stat_activity where query like 'do $$%' and state = 'active'";
        let (answered, said) = place.run_beside(&["psql", "-h", "{dir}", "-U", "postgres", "-Atc", asked]);
        (answered && said.trim() == "1").then_some(())
    });
    running.signal(libc::SIGTERM);
    place.has_been_asked();
    running.wait_for_stderr("received smart shutdown request");
    let (succeeded, said) = session.finish();
    assert!(
        succeeded && said.contains("query done") && said.contains("session lives"),
        "the session was cut off: {said}"
    );
    let finished = running.finish();
    finished.check_code(0).check_stderr_lacks("SIGKILL to").check_stderr_has(&["database system is shut down"]);
    Ok(())
}
