namespace LabPortal.Web.Features.Shell;

/// <summary>
/// A page that is drawn with the first answer, before it lives: what it shows it hands over (<see cref="Handover"/>), its links are plain links, and what
/// needs life is disabled until then (<see cref="Browser.Alive"/>).
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class StandsAtOnceAttribute : Attribute;
