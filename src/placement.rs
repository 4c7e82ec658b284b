//! Where the command is put among process groups, and what that means for the terminal.
#![forbid(unsafe_code)]

/// What is known about graceinit's own place, before the command is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// There is a controlling terminal.
    pub has_terminal: bool,
    /// graceinit's group is the terminal's foreground group.
    pub in_foreground: bool,
    /// graceinit leads its session: nobody else can be in its group but processes that it started, or that its shell started
    /// before it became graceinit.
    pub leads_session: bool,
    /// graceinit leads its process group.
    pub leads_group: bool,
    /// Whether another process is in graceinit's group; `None` where /proc does not tell.
    pub has_company: Option<bool>,
    /// stdout or stderr is a pipe: the rest of a pipeline may be about to join the group.
    pub writes_to_pipe: bool,
}

/// Where the command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Into a group of its own.
    OwnGroup {
        /// The terminal goes with it.
        with_terminal: bool,
    },
    /// It stays in graceinit's group: somebody else is in there, and would be stopped by the terminal if it was taken away.
    /// Signals then go to each process by itself.
    Shared,
}

/// Decides where the command goes.
#[must_use]
pub fn place(around: Surroundings) -> Placement {
    if !around.has_terminal {
        return Placement::OwnGroup { with_terminal: false };
    }
    let has_company = around.has_company.unwrap_or(!around.leads_session && !around.leads_group);
    // Shells start the parts of a pipeline one after the other.
    let may_get_company = around.writes_to_pipe && !around.leads_session;
    if has_company || may_get_company {
        Placement::Shared
    } else {
        Placement::OwnGroup { with_terminal: around.in_foreground }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Surroundings = Surroundings {
        has_terminal: true,
        in_foreground: true,
        leads_session: false,
        leads_group: true,
        has_company: Some(false),
        writes_to_pipe: false,
    };

    #[test]
    fn the_terminal_goes_with_a_command_that_is_alone() {
        assert_eq!(place(ALONE), Placement::OwnGroup { with_terminal: true });
        assert_eq!(place(Surroundings { in_foreground: false, ..ALONE }), Placement::OwnGroup { with_terminal: false });
    }

    #[test]
    fn a_script_a_pipeline_and_make_keep_their_terminal() {
        assert_eq!(place(Surroundings { has_company: Some(true), ..ALONE }), Placement::Shared);
        assert_eq!(place(Surroundings { writes_to_pipe: true, ..ALONE }), Placement::Shared);
        assert_eq!(place(Surroundings { has_company: None, leads_group: false, ..ALONE }), Placement::Shared);
    }

    #[test]
    fn without_a_terminal_company_does_not_matter() {
        let around = Surroundings { has_terminal: false, has_company: Some(true), writes_to_pipe: true, ..ALONE };
        assert_eq!(place(around), Placement::OwnGroup { with_terminal: false });
    }

    #[test]
    fn a_container_with_a_terminal_and_no_proc_gets_it() {
        let around = Surroundings { leads_session: true, has_company: None, writes_to_pipe: true, ..ALONE };
        assert_eq!(place(around), Placement::OwnGroup { with_terminal: true });
    }
}
