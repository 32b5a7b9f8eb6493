namespace LabPortal.Domain.Consoles;

/// <summary>A way into a machine through the portal; the words are the API's.</summary>
public enum ConsoleKind
{
    /// <summary>Its screen, keyboard and mouse.</summary>
    Vnc,

    /// <summary>Its serial port.</summary>
    Serial,

    /// <summary>A tunnel to its SSH port; who speaks SSH is at the other end of it.</summary>
    Ssh,

    /// <summary>A shell over SSH, where the portal itself speaks it; whoever is at the other end sees a terminal.</summary>
    Terminal,
}
